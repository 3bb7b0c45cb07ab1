// Cards: one metric of some runs, with what people ask of a curve.

import { api, banner, element } from "./page.js";
import { Chart, shade } from "./charts.js";
import { short } from "./numbers.js";

/** Colours and dashes of runs, the same in all cards of a page: by their place in the list. */
export function dressed(answer, runs) {
  return answer.lines.map((line) => {
    const place = Math.max(runs.indexOf(line.uuid), 0);
    const turn = Math.floor(place / answer.palette.length);
    return { ...line, shade: answer.palette[place % answer.palette.length], dash: turn };
  });
}

export class Card {
  /**
   * @param section an element with `data-metric` and, in it, `.chart`.
   * @param settings axis, smooth, log, source, sync, height, pick, legend.
   */
  constructor(section, settings = {}) {
    this.section = section;
    this.metric = section.dataset.metric;
    this.settings = { axis: "step", source: "epoch", smooth: 0, log: false, legend: true, ...settings };
    this.legend = element("ul", { className: "legend" });
    this.note = element("p", { className: "quiet note", hidden: true });
    this.marks = [];
    section.append(this.legend, this.note);
    const tools = element("span", { className: "tools" },
      element("button", { type: "button", textContent: "PNG", title: "Save the picture", onclick: () => this.#save() }),
      element("button", { type: "button", textContent: "⤢", title: "Show all again", "aria-label": `Show all of ${this.metric} again`, onclick: () => this.chart?.reset() }));
    section.querySelector("h2, h3")?.append(tools);
  }

  /** Reads the curves of these runs and draws them; of calls that overtake each other, the last. */
  async load(runs = this.runs, all = this.all ?? runs) {
    this.runs = runs;
    this.all = all;
    const call = (this.call = (this.call ?? 0) + 1);
    try {
      const answer = runs.length ? await this.#ask() : { lines: [], palette: [] };
      if (call !== this.call) return;
      const lines = dressed(answer, this.all);
      this.chart ??= this.#made();
      await this.chart.show(lines);
      this.#tell(lines);
      this.section.dataset.drawn = String(lines.length);
    } catch (error) {
      if (call === this.call) this.#say(error.message);
    }
  }

  /** Another metric, for the next time that it is read. */
  rename(metric) {
    this.metric = this.section.dataset.metric = metric;
    this.section.querySelector("h2, h3").firstChild.textContent = metric;
  }

  /** Other settings, for the next time that it is read. */
  set(settings) {
    this.settings = { ...this.settings, ...settings };
    this.chart?.destroy();
    this.chart = undefined;
  }

  change(settings) {
    this.set(settings);
    return this.load();
  }

  mark(marks) {
    this.marks = marks;
    this.chart?.mark(marks);
  }

  #made() {
    return new Chart(this.section.querySelector(".chart"), {
      ...this.settings, marks: this.marks, label: this.metric,
      detail: async (begin, end) => {
        try {
          return dressed(await this.#ask({ begin, end }), this.all);
        } catch (error) {
          banner(error.message);
          return this.chart.lines;
        }
      },
      pointed: (values) => this.#values(values),
    });
  }

  #ask(more = {}) {
    const width = this.section.querySelector(".chart").clientWidth || 400;
    const { axis, smooth, source } = this.settings;
    return api("/curves", {
      run: this.runs, metric: this.metric, x: axis, smooth, source,
      points: Math.min(Math.max(Math.round(width), 200), 2000), ...more,
    });
  }

  #tell(lines) {
    const lost = lines.reduce((sum, line) => sum + line.not_finite, 0);
    this.#say(!lines.length ? "No values." : lost ? `${lost} value${lost === 1 ? " is" : "s are"} not finite: not drawn.` : "");
    if (!this.settings.legend) return;
    const own = new Map();
    for (const line of lines) own.set(line.uuid, line);
    this.values = new Map();
    this.legend.replaceChildren(...[...own.values()].map((line) => {
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = shade(line.shade);
      const value = element("span", { className: "value", textContent: short(line.last) });
      this.values.set(line.uuid, [value, line.last]);
      return element("li", {}, swatch, `${line.run} `, value);
    }));
  }

  #values(values) {
    const now = new Map(values.map((one) => [one.line.uuid, one.y]));
    for (const [uuid, [place, last]] of this.values ?? []) place.textContent = short(now.get(uuid) ?? last);
  }

  #say(text) {
    this.note.textContent = text;
    this.note.hidden = !text;
  }

  async #save() {
    if (!this.chart?.plot) return;
    const link = element("a", { download: `${this.metric}.png`, href: URL.createObjectURL(await this.chart.picture(this.metric)) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

/** Cards read their curves when they come into view, and again whenever they are told to. */
export class Grid {
  constructor(place, settings) {
    this.runs = [];
    this.cards = new Map();
    for (const section of place.querySelectorAll(".card[data-metric]")) {
      this.cards.set(section, new Card(section, settings));
    }
    this.near = new Set();
    this.watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) this.near.delete(entry.target);
        else {
          this.near.add(entry.target);
          if (entry.target.stale) this.#load(entry.target);
        }
      }
    }, { rootMargin: "200px" });
    for (const section of this.cards.keys()) this.watcher.observe(section);
  }

  /** @param all the runs that colours go by: their places among all. */
  show(runs, all = runs) {
    this.runs = runs;
    this.all = all;
    for (const section of this.cards.keys()) {
      section.stale = true;
      if (this.near.has(section)) this.#load(section);
    }
  }

  change(settings) {
    for (const card of this.cards.values()) card.set(settings);
    this.show(this.runs, this.all);
  }

  #load(section) {
    section.stale = false;
    this.cards.get(section).load(this.runs, this.all);
  }
}
