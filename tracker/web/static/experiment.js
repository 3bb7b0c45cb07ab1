// An experiment: its groups as bands, its best runs as curves.

import { api, banner } from "./page.js";
import { Chart, paint } from "./charts.js";
import { Card } from "./curves.js";

/** Epochs of one group as a line with a band; of several fits, the first. */
function banded(rows, name, place, palette) {
  const own = rows.filter((row) => row.call === Math.min(...rows.map((one) => one.call)));
  const of = (column) => own.map((row) => (typeof row[column] === "number" ? row[column] : null));
  const mean = of("mean");
  return {
    run: name, uuid: name, part: null, x: of("epoch"), y: mean, low: of("min"), high: of("max"), last: mean.at(-1),
    shade: palette[place % palette.length], dash: Math.floor(place / palette.length),
  };
}

async function groups(section) {
  const { metric } = section.dataset, palette = section.dataset.palette.split(" ");
  const rows = [...document.querySelectorAll("tr[data-group]")];
  const dress = () => paint(document.querySelectorAll("tr[data-group] .swatch"), palette);
  dress();
  document.addEventListener("theme", dress);
  const lines = await Promise.all(rows.map(async (row, place) => {
    const own = await api("/aggregate", { where: row.dataset.where, metric }).catch((error) => {
      // A group none of whose runs has the metric has no line.
      if (!error.message.includes(metric)) banner(error.message);
      return [];
    });
    return banded(own.filter((one) => one.epoch !== null), row.dataset.group, place, palette);
  }));
  const chart = new Chart(section.querySelector(".chart"), { axis: "epoch", height: 340, label: `${metric} of groups` });
  await chart.show(lines.filter((line) => line.x.length));
  section.dataset.drawn = String(lines.length);
}

const bands = document.getElementById("groups"), best = document.getElementById("best");
if (bands) groups(bands);
if (best) new Card(best, { axis: "epoch", height: 340 }).load(best.dataset.runs.split(" "));
