// Params against results of many runs: parallel coordinates, and a scatter plot.

import { address, api, element } from "./page.js";
import { shade } from "./charts.js";
import { short } from "./numbers.js";

const WIDE = 900, HIGH = 260, EDGE = 34, MOST = 8;

function svg(name, properties = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Where values stand between 0 and 1: numbers by their size, others by their order. */
function axis(name, values) {
  const there = values.filter((one) => one !== null && one !== undefined);
  const numeric = there.length > 0 && there.every((one) => typeof one === "number");
  if (numeric) {
    const low = Math.min(...there), high = Math.max(...there);
    // Learning rates and their like are seen on a logarithmic scale only.
    const log = low > 0 && high / low > 50;
    const at = (one) => (log ? Math.log(one / low) / Math.log(high / low) : (one - low) / (high - low || 1));
    return { name, values, at: (one) => (typeof one === "number" ? at(one) : null), ends: [short(low), short(high)] };
  }
  const texts = [...new Set(there.map(String))].sort();
  return {
    name, values, ends: [texts[0] ?? "", texts.at(-1) ?? ""],
    at: (one) => (one === null || one === undefined ? null : texts.indexOf(String(one)) / Math.max(texts.length - 1, 1)),
  };
}

function parallel(axes, runs, colour) {
  const x = (place) => EDGE + 40 + (place / Math.max(axes.length - 1, 1)) * (WIDE - 2 * EDGE - 80);
  const y = (part) => HIGH - EDGE - part * (HIGH - 2 * EDGE);
  const made = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", class: "relation", "aria-label": `Parallel coordinates of ${axes.map((one) => one.name).join(", ")}` });
  axes.forEach((one, place) => {
    made.append(svg("line", { x1: x(place), x2: x(place), y1: y(0), y2: y(1), class: "axis" }));
    for (const [text, at] of [[one.name, 14], [one.ends[1], y(1) - 5], [one.ends[0], y(0) + 14]]) {
      const label = svg("text", { x: x(place), y: at, "text-anchor": "middle", class: at === 14 ? "name" : "" });
      label.textContent = text.length > 22 ? `${text.slice(0, 21)}…` : text;
      made.append(label);
    }
  });
  runs.forEach((run, number) => {
    const points = axes.map((one, place) => [x(place), one.at(one.values[number])]).filter(([, part]) => part !== null);
    const line = svg("polyline", { points: points.map(([left, part]) => `${left},${y(part).toFixed(1)}`).join(" "), stroke: colour(number), class: "run" }, svg("title"));
    line.firstChild.textContent = run.name;
    made.append(line);
  });
  return made;
}

function scatter(across, up, runs, colour) {
  const x = (part) => EDGE + 50 + part * (WIDE / 2 - EDGE - 80), y = (part) => HIGH - EDGE - part * (HIGH - 2 * EDGE);
  const made = svg("svg", { viewBox: `0 0 ${WIDE / 2} ${HIGH}`, role: "group", class: "relation half", "aria-label": `${up.name} against ${across.name}` });
  made.append(svg("line", { x1: x(0), x2: x(1), y1: y(0), y2: y(0), class: "axis" }), svg("line", { x1: x(0), x2: x(0), y1: y(0), y2: y(1), class: "axis" }));
  for (const [text, left, top, anchor] of [
    [across.ends[0], x(0), y(0) + 14, "start"], [across.ends[1], x(1), y(0) + 14, "end"], [across.name, x(0.5), y(0) + 28, "middle"],
    [up.ends[0], x(0) - 4, y(0), "end"], [up.ends[1], x(0) - 4, y(1) + 4, "end"], [up.name, x(0), y(1) - 10, "middle"],
  ]) {
    const label = svg("text", { x: left, y: top, "text-anchor": anchor });
    label.textContent = text;
    made.append(label);
  }
  runs.forEach((run, number) => {
    const parts = [across.at(across.values[number]), up.at(up.values[number])];
    if (parts.includes(null)) return;
    const text = `${run.name}: ${across.name} ${across.values[number]}, ${up.name} ${short(up.values[number])}`;
    const link = svg("a", { href: address(`/runs/${run.uuid}`), "aria-label": text },
      svg("circle", { cx: x(parts[0]), cy: y(parts[1]), r: 5, fill: colour(number) }), svg("title"));
    link.lastChild.textContent = text;
    made.append(link);
  });
  return made;
}

export async function relate(place, uuids, palette) {
  let rows;
  try {
    rows = await api("/compare", { run: uuids, all: true });
  } catch (error) {
    place.replaceChildren(element("p", { className: "problem", textContent: error.message }));
    return;
  }
  const names = rows.length ? Object.keys(rows[0]).filter((one) => one !== "section" && one !== "name") : [];
  const runs = names.map((name, number) => ({ name, uuid: uuids[number] }));
  const value = (one) => (one === null || typeof one === "number" || typeof one === "string" ? one : JSON.stringify(one));
  const of = (section) => rows.filter((row) => row.section === section).map((row) => axis(row.name, names.map((name) => value(row[name]))));
  const differ = (one) => new Set(one.values).size > 1;
  const params = of("params").filter(differ), metrics = of("metrics").filter((one) => one.values.some((item) => typeof item === "number"));
  if (!params.length || !metrics.length) {
    place.replaceChildren(element("p", { className: "quiet", textContent: !params.length ? "No param differs between these runs." : "None of these runs has a metric." }));
    return;
  }
  const pick = (text, axes, chosen) => {
    const choice = element("select", {}, ...axes.map((one) => element("option", { textContent: one.name, selected: one === chosen })));
    return [element("label", {}, `${text} `, choice), choice];
  };
  const usual = metrics.find((one) => one.name === "val_loss") ?? metrics[0];
  const [acrossLabel, across] = pick("Param", params, params[0]), [upLabel, up] = pick("Metric", metrics, usual);
  const plots = element("div", {});
  const draw = () => {
    const colour = (number) => shade(palette[number % palette.length]);
    const param = params[across.selectedIndex], metric = metrics[up.selectedIndex];
    const shown = [...params.slice(0, MOST - 1), ...(params.indexOf(param) >= MOST - 1 ? [param] : []), metric];
    plots.replaceChildren(parallel(shown, runs, colour), scatter(param, metric, runs, colour));
  };
  place.replaceChildren(element("div", { className: "row" }, acrossLabel, upLabel), plots);
  place.addEventListener("change", draw);
  document.addEventListener("theme", draw);
  draw();
}
