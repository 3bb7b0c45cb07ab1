// Numbers and lengths of time as texts.

/** A number as people read it. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en");
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4) ? value.toExponential(3) : String(+value.toPrecision(5));
}

/** Seconds as people say them. */
export function span(seconds) {
  if (Math.abs(seconds) < 120) return `${+seconds.toFixed(2)} s`;
  if (Math.abs(seconds) < 7200) return `${+(seconds / 60).toFixed(1)} min`;
  return `${+(seconds / 3600).toFixed(2)} h`;
}
