// The list of runs: which are selected, small curves, chosen columns, the grid of curves.

import { address, api, banner } from "./page.js";

const SPARK = { width: 90, height: 20, edge: 2 };

function selected() {
  return [...document.querySelectorAll(".pick:checked, .runs-list .drawn:checked")].map((one) => one.value);
}

function tellSelection() {
  const form = document.getElementById("compare");
  if (!form) return;
  const runs = selected();
  form.elements.runs.value = runs.join(",");
  form.querySelector("button").disabled = runs.length < 2;
  document.getElementById("selected").textContent =
    runs.length < 2 ? "Select two runs or more to compare them." : `${runs.length} runs selected.`;
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function draw(cell, values, metric) {
  const low = Math.min(...values), high = Math.max(...values);
  const x = (place) => SPARK.edge + (place / Math.max(values.length - 1, 1)) * (SPARK.width - 2 * SPARK.edge);
  const y = (value) => SPARK.height - SPARK.edge - ((value - low) / (high - low || 1)) * (SPARK.height - 2 * SPARK.edge);
  const points = values.map((value, place) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const line = shape("polyline", { points, fill: "none", stroke: "currentColor", "stroke-width": "1.5" });
  const label = `${metric} from ${values[0].toPrecision(4)} to ${values.at(-1).toPrecision(4)}`;
  cell.replaceChildren(
    shape("svg", { viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, role: "img", "aria-label": label }, line),
  );
}

async function sparks() {
  const metric = document.getElementById("found")?.dataset.metric;
  const rows = [...document.querySelectorAll("tr[data-run]:not([data-sparked])")].slice(0, 100);
  if (!rows.length || !metric) return;
  for (const row of rows) row.dataset.sparked = "";
  try {
    const values = await api("/sparks", { run: rows.map((row) => row.dataset.run), metric });
    for (const row of rows) {
      const own = values[row.dataset.run];
      if (own?.length > 1) draw(row.querySelector(".spark"), own, metric);
    }
  } catch (error) {
    banner(error.message);
  }
}

function chooseColumns() {
  const chosen = [...document.querySelectorAll("#chooser input:checked")].map((one) => one.value);
  const link = document.getElementById("chosen");
  if (!link) return;
  const query = new URLSearchParams(location.search);
  if (chosen.length) query.set("cols", ["status", "name", ...chosen].join(","));
  else query.delete("cols");
  link.href = address("/runs") + `?${query}`;
}

let grid;

async function curves() {
  const cards = document.querySelector(".cards");
  if (!cards) return;
  const { Grid } = await import("./curves.js");
  const { paint } = await import("./charts.js");
  const { x, smooth, log, palette } = cards.dataset;
  if (grid?.place !== cards) {
    grid = new Grid(cards, { axis: x, smooth, log: Boolean(log), sync: "grid", legend: false });
    grid.place = cards;
  }
  // A run keeps its colour whatever else is drawn: its place in the list says it.
  const all = [...document.querySelectorAll(".runs-list .drawn")];
  paint(document.querySelectorAll(".runs-list .swatch"), palette.split(" "));
  grid.show(all.filter((one) => one.checked).map((one) => one.value), all.map((one) => one.value));
}

function begin() {
  tellSelection();
  sparks();
  curves();
}

document.addEventListener("change", (event) => {
  if (event.target.matches(".pick, .drawn")) tellSelection();
  if (event.target.matches(".drawn")) curves();
  if (event.target.closest("#chooser")) chooseColumns();
});
document.addEventListener("htmx:afterSettle", begin);
begin();
