// Curves over each other; what is chosen stands in the address.

import { chosen, written } from "./axes.js";
import { paint } from "./charts.js";
import { Card } from "./curves.js";
import { address } from "./page.js";

const form = document.getElementById("axes");
const runs = form.elements.runs.value.split(",");
const section = document.querySelector("section.card");
const chips = document.querySelector(".chips"), palette = chips.dataset.palette.split(" ");

const dress = () => paint(chips.querySelectorAll(".swatch"), palette);

const card = new Card(section, { ...chosen(form), height: 340 });

form.addEventListener("change", () => {
  const { metric } = form.elements;
  card.rename(metric.value);
  history.replaceState(null, "", address("/compare", { runs: runs.join(","), metric: metric.value, ...written(form) }));
  card.change(chosen(form));
});
form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("theme", dress);
dress();
card.load(runs);

const relations = document.getElementById("relations");
if (relations) import("./relations.js").then(({ relate }) => relate(relations, runs, palette));
