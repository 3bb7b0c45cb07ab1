// A run in time: a slider, keys and play over its stream.

import { address, api, banner, element, localTimes } from "./page.js";
import { Card } from "./curves.js";
import { calmly, follow } from "./live.js";

const form = document.getElementById("travel"), slider = form.elements.seq;
const place = document.getElementById("moment"), problem = document.getElementById("problem");
const { run, began } = form.dataset;
const section = document.querySelector("section.card");
const card = section && new Card(section, { axis: "time", height: 200, pick: (x) => go(timeAt(x)) });
const play = form.querySelector('[data-go="play"]');

let wanted = null, playing = null;

const shown = () => place.querySelector("[data-seq]").dataset;
const timeAt = (seconds) => new Date(Number(began) / 1000 + seconds * 1000).toISOString();

function mark() {
  const { elapsed, seq } = shown();
  card?.mark(elapsed ? [{ x: Number(elapsed) / 1e6, text: `event ${Number(seq).toLocaleString("en")}` }] : []);
}

const renew = calmly(async () => {
  const at = wanted;
  const answer = await fetch(address(`/runs/${run}/moment`, { at }), { headers: { "HX-Request": "true" } });
  // The server's own page piece: what is in it is escaped.
  const piece = element("template", { innerHTML: await answer.text() });
  if (!answer.ok) {
    problem.replaceChildren(piece.content);
    stop();
    return;
  }
  problem.replaceChildren();
  place.replaceChildren(piece.content);
  localTimes(place);
  const { seq, last } = shown();
  slider.max = last;
  if (at === wanted) {
    slider.value = seq;
    history.replaceState(null, "", address(`/runs/${run}/at/${seq}`));
  }
  mark();
}, 20);

function go(at) {
  wanted = at;
  renew();
}

function toSeq(seq) {
  const kept = Math.min(Math.max(Math.round(seq), 1), Number(slider.max));
  slider.value = kept;
  go(`seq:${kept}`);
}

function stop() {
  clearInterval(playing);
  playing = null;
  play.textContent = "Play";
  play.setAttribute("aria-pressed", "false");
}

function start() {
  if (Number(slider.value) >= Number(slider.max)) slider.value = 1;
  const begin = performance.now(), from = Number(slider.value);
  const speed = Number(document.getElementById("speed").value);
  playing = setInterval(() => {
    const seq = from + ((performance.now() - begin) / 1000) * speed;
    toSeq(seq);
    if (seq >= Number(slider.max)) stop();
  }, 60);
  play.textContent = "Pause";
  play.setAttribute("aria-pressed", "true");
}

/** To the end of an epoch: the next one, or the one before. */
async function epoch(step) {
  const seq = Number(slider.value);
  const query = step > 0 ? { after: seq, limit: 1 } : { until: seq - 1, tail: 1 };
  try {
    const ends = await api(`/runs/${run}/events`, { kind: "epoch_end", ...query });
    toSeq(ends.length ? ends[0].seq : step > 0 ? Number(slider.max) : 1);
  } catch (error) {
    banner(error.message);
  }
}

const ways = {
  first: () => toSeq(1), last: () => toSeq(Number(slider.max)),
  "-": () => toSeq(Number(slider.value) - 1), "+": () => toSeq(Number(slider.value) + 1),
  "epoch-": () => epoch(-1), "epoch+": () => epoch(1),
  play: () => (playing ? stop() : start()),
};
const keys = { Home: "first", End: "last", ArrowLeft: "-", ArrowRight: "+", PageUp: "epoch-", PageDown: "epoch+", " ": "play" };

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const point = document.getElementById("point").value.trim();
  if (point) go(point);
});
form.addEventListener("click", (event) => {
  const way = event.target.dataset.go;
  if (!way) return;
  if (way !== "play") stop();
  ways[way]();
});
slider.addEventListener("input", () => {
  stop();
  go(`seq:${slider.value}`);
});
document.getElementById("speed").addEventListener("change", () => {
  if (playing) {
    stop();
    start();
  }
});
document.getElementById("metric")?.addEventListener("change", (event) => {
  card.rename(event.target.value);
  card.load([run]);
});
document.addEventListener("keydown", (event) => {
  const way = keys[event.key];
  const typing = event.target.matches("input:not([type=range]), select, textarea, button, .chart, summary, a");
  if (!way || event.ctrlKey || event.metaKey || event.altKey || (typing && !(event.target.matches("button, a") && event.key !== " "))) return;
  event.preventDefault();
  if (way !== "play") stop();
  ways[way]();
});

card?.load([run]).then(mark);
if (["running", "lost"].includes(form.dataset.status)) {
  const redraw = calmly(async () => card?.load([run]), 1000);
  follow([run], (state) => {
    const atEnd = slider.value === slider.max;
    slider.max = state.seq;
    if (atEnd && !playing) toSeq(state.seq);
    redraw();
  });
}
