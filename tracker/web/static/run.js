// One run: its curves, what a callback would have done, and what happens while it trains.

import { chosen, written } from "./axes.js";
import { Card, Grid } from "./curves.js";
import { calmly, follow } from "./live.js";
import { api, banner, element } from "./page.js";

const curves = document.getElementById("curves"), axes = document.getElementById("axes");

let grid = null;
if (curves) {
  grid = new Grid(curves, { ...chosen(axes), sync: "run" });
  grid.show([curves.dataset.run]);
  axes.addEventListener("submit", (event) => event.preventDefault());
  axes.addEventListener("change", () => {
    const query = Object.entries(written(axes)).filter(([, one]) => one);
    history.replaceState(null, "", `?${new URLSearchParams(query)}`);
    grid.change(chosen(axes));
  });
}

function whatIf(form) {
  const { callback } = form.elements, told = document.getElementById("verdict");
  const section = document.getElementById("what-if-curve");
  let card = null;

  function fit() {
    const fields = callback.selectedOptions[0].dataset.fields.split(" ");
    for (const label of form.querySelectorAll("[data-field]")) label.hidden = !fields.includes(label.dataset.field);
  }

  async function ask() {
    const fields = callback.selectedOptions[0].dataset.fields.split(" ").filter(Boolean);
    const query = Object.fromEntries(fields.map((name) => [name, form.elements[name].value]));
    told.replaceChildren(element("p", { className: "quiet", textContent: "Driving it through the hooks …" }));
    try {
      const verdict = await api(`/runs/${form.dataset.run}/what-if`, { callback: callback.value, ...query });
      told.replaceChildren(element("p", { textContent: verdict.text }));
      section.hidden = false;
      card ??= new Card(section, { axis: "epoch", height: 220 });
      card.rename(query.monitor || "loss");
      await card.load([form.dataset.run]);
      const acts = verdict.acts.filter((one) => one.epoch !== null && one.act !== "stop_training");
      const marks = acts.slice(0, 40).map((one) => ({ x: one.epoch, text: one.act, quiet: true }));
      if (verdict.stopped && verdict.epoch !== null) marks.push({ x: verdict.epoch, text: `stopped in epoch ${verdict.epoch}` });
      if (verdict.best_epoch !== null) marks.push({ x: verdict.best_epoch, text: `best in epoch ${verdict.best_epoch}`, quiet: true });
      card.mark(marks);
    } catch (error) {
      told.replaceChildren(element("p", { className: "problem", textContent: error.message }));
    }
  }

  callback.addEventListener("change", fit);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  fit();
}

const form = document.getElementById("what-if");
if (form) whatIf(form);

const now = document.getElementById("now");
if (["running", "lost"].includes(now.dataset.status)) {
  const run = location.pathname;
  const renew = calmly(async () => {
    const answer = await fetch(`${run}/now`);
    if (!answer.ok) return banner(`The server answers ${answer.status}.`);
    // The server's own page piece: what is in it is escaped.
    const piece = element("template", { innerHTML: await answer.text() });
    document.getElementById("now").replaceWith(piece.content.firstElementChild);
  }, 50);
  const redraw = calmly(async () => grid?.show(grid.runs), 1000);
  let seen = Number(now.dataset.seq);
  follow([run.split("/").at(-1)], (state) => {
    if (state.seq === seen && state.status === document.getElementById("now").dataset.status) return;
    // A run without curves yet has no place for them: the page is made anew once there are some.
    if (!grid && state.epochs) return location.reload();
    seen = state.seq;
    renew();
    redraw();
  });
}
