// Curves over each other; what is chosen stands in the address.

import { address } from "./page.js";
import { Card } from "./curves.js";
import { shade } from "./charts.js";

const form = document.getElementById("axes");
const runs = form.elements.runs.value.split(",");
const section = document.querySelector("section.card");
const chips = document.querySelector(".chips"), palette = chips.dataset.palette.split(" ");

function dress() {
  [...chips.children].forEach((chip, place) => {
    chip.querySelector(".swatch").style.background = shade(palette[place % palette.length]);
  });
}

function chosen() {
  const { source, x, smooth, log } = form.elements;
  return { source: source.value, axis: x.value, smooth: Number(smooth.value), log: log.checked };
}

const card = new Card(section, { ...chosen(), height: 340 });

form.addEventListener("change", () => {
  const { metric, source, x, smooth, log } = form.elements;
  card.metric = section.dataset.metric = metric.value;
  section.querySelector("h2").firstChild.textContent = metric.value;
  history.replaceState(null, "", address("/compare", {
    runs: runs.join(","), metric: metric.value, source: source.value, x: x.value,
    smooth: Number(smooth.value) ? smooth.value : "", log: log.checked ? "true" : "",
  }));
  card.change(chosen());
});
form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("theme", dress);
dress();
card.load(runs);

const relations = document.getElementById("relations");
if (relations) import("./relations.js").then(({ relate }) => relate(relations, runs, palette));
