// The form that says what is drawn: values, axis, smoothing, scale.

/** As cards take it. */
export function chosen(form) {
  const { source, x, smooth, log } = form.elements;
  return { source: source.value, axis: x.value, smooth: Number(smooth.value), log: log.checked };
}

/** As it stands in an address. */
export function written(form) {
  const { source, x, smooth, log } = form.elements;
  return { source: source.value, x: x.value, smooth: Number(smooth.value) ? smooth.value : "", log: log.checked ? "true" : "" };
}
