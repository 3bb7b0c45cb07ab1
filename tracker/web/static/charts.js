// Curves by uPlot; nothing else in the page knows it.

import { short, span } from "./numbers.js";
import { element } from "./page.js";
import uPlot from "./uplot.js";

// Black is told from a dark ground by nobody.
const DARK = { "#000000": "#e6e9ee", "#0072B2": "#4aa8e0" };
const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3]];
const SETTLE = 60; // milliseconds without another zoom before detail is asked for
const TIP_LINES = 10;
const WHOLE = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();

/** A colour of the palette as it is seen on today's ground. */
export function shade(colour) {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  return (dark && DARK[colour]) || colour;
}

/** Gives each swatch the colour of its place in the palette. */
export function paint(swatches, palette) {
  [...swatches].forEach((swatch, place) => {
    swatch.style.background = shade(palette[place % palette.length]);
  });
}

const named = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The place of the value that is nearest to x, among those that are there. */
function nearest(line, x) {
  let low = 0, high = line.x.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (line.x[middle] < x) low = middle + 1;
    else high = middle;
  }
  const there = (place) => place >= 0 && place < line.y.length && line.y[place] !== null;
  for (let far = 0; far < 3; far += 1) {
    const near = [low - far, low + far, low - far - 1].filter(there);
    if (near.length) return near.reduce((a, b) => (Math.abs(line.x[a] - x) <= Math.abs(line.x[b] - x) ? a : b));
  }
  return -1;
}

/** Points that no line reaches, since there are gaps on both sides of them. */
function alone(plot, number, shown) {
  if (shown) return null;
  const values = plot.data[number], found = [];
  let last = null, before = null; // the value before, and whether anything stood before that
  for (let place = 0; place <= values.length; place += 1) {
    const value = place < values.length ? values[place] : null;
    if (value === undefined) continue;
    if (value === null && last !== null && before === null) found.push(last);
    before = value === null ? null : last;
    last = value === null ? null : place;
  }
  return found.length ? found : null;
}

export class Chart {
  /**
   * @param place the element that it fills.
   * @param options axis: step, epoch or time; log; sync: charts of one name share the cursor;
   *   detail(begin, end): the lines of a part of the axis; marks: [{x, text}]; label: what is
   *   drawn, in words; pick(x): somebody clicked there.
   */
  constructor(place, options = {}) {
    this.place = place;
    this.options = { axis: "step", height: 200, marks: [], ...options };
    this.lines = [];
    this.tip = element("div", { className: "tip", hidden: true });
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.addEventListener("keydown", (event) => this.#key(event));
    place.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.watcher = new ResizeObserver(() => this.plot?.setSize(this.#size()));
    this.watcher.observe(place);
    this.retheme = () => this.#make(this.#range());
    document.addEventListener("theme", this.retheme);
  }

  /** Draws lines as /api/v1/curves has them; a zoom stays as it is if the axis does. */
  async show(lines) {
    const range = this.zoomed ? this.#range() : null;
    this.whole = lines;
    const own = lines.flatMap((line) => (line.x.length ? [line.x[0], line.x.at(-1)] : []));
    this.full = own.length ? [Math.min(...own), Math.max(...own)] : [0, 1];
    if (this.full[0] === this.full[1]) this.full = [this.full[0] - 0.5, this.full[1] + 0.5]; // a scale needs a length
    this.lines = range && this.options.detail ? await this.options.detail(...range) : lines;
    this.#put(range);
    this.#describe();
  }

  mark(marks) {
    this.options.marks = marks;
    this.plot?.redraw(false);
  }

  reset() {
    this.zoomed = false;
    this.lines = this.whole;
    this.#put(null);
  }

  destroy() {
    this.watcher.disconnect();
    document.removeEventListener("theme", this.retheme);
    this.plot?.destroy();
  }

  /** The picture as PNG, with its title and its legend. */
  picture(title) {
    const from = this.plot.ctx.canvas, ratio = devicePixelRatio || 1, row = 20 * ratio;
    const names = [...new Map(this.lines.map((line) => [line.run, line])).values()];
    const made = element("canvas", { width: from.width, height: from.height + row * (names.length + 2) });
    const pen = made.getContext("2d");
    pen.fillStyle = named("--ground");
    pen.fillRect(0, 0, made.width, made.height);
    pen.fillStyle = named("--text");
    pen.font = `${14 * ratio}px system-ui, sans-serif`;
    pen.fillText(title, 10 * ratio, row);
    pen.drawImage(from, 0, 1.5 * row);
    names.forEach((line, number) => {
      const y = from.height + row * (number + 2.2);
      pen.fillStyle = this.#stroke(line);
      pen.fillRect(10 * ratio, y - 8 * ratio, 18 * ratio, 4 * ratio);
      pen.fillStyle = named("--text");
      pen.fillText(line.run, 36 * ratio, y);
    });
    return new Promise((done) => made.toBlob(done, "image/png"));
  }

  #put(range) {
    const shape = this.lines.map((line) => `${line.uuid}/${line.part ?? ""}`).join();
    if (!this.plot || shape !== this.shape) {
      this.shape = shape;
      this.#make(range);
      return;
    }
    const [begin, end] = range ?? this.full;
    this.busy = true;
    this.plot.batch(() => {
      this.plot.setData(this.#data(), false);
      this.plot.setScale("x", { min: begin, max: end });
    });
    this.busy = false;
  }

  #data() {
    const drawn = (values) => (this.options.log ? values.map((one) => (one > 0 ? one : null)) : values);
    const tables = this.lines.map((line) => [line.x, drawn(line.high ?? line.y), drawn(line.low ?? line.y), drawn(line.y)]);
    return tables.length ? uPlot.join(tables) : [[]];
  }

  #range() {
    const scale = this.plot?.scales.x;
    return scale && scale.min != null ? [scale.min, scale.max] : null;
  }

  #size() {
    return { width: Math.max(this.place.clientWidth, 120), height: this.options.height };
  }

  #stroke(line) {
    return shade(line.shade ?? "#0072B2");
  }

  #make(range) {
    const [begin, end] = range ?? this.full ?? [0, 1];
    this.plot?.destroy();
    const axis = { stroke: named("--quiet"), grid: { stroke: named("--line"), width: 1 }, ticks: { stroke: named("--line"), width: 1 } };
    const whole = this.options.axis === "step" || (this.options.axis === "epoch" && this.options.source !== "batch");
    const series = [{}], bands = [];
    for (const line of this.lines) {
      const stroke = this.#stroke(line), edge = { width: 0, points: { show: false } };
      bands.push({ series: [series.length, series.length + 1], fill: `${stroke}38` });
      series.push(edge, { ...edge }, {
        stroke, width: 1.6, dash: DASHES[(line.dash ?? 0) % DASHES.length],
        points: { show: line.x.length < 3, size: 6, fill: stroke, filter: alone },
      });
    }
    this.plot = new uPlot({
      ...this.#size(), series, bands,
      scales: {
        x: { time: false, min: begin, max: end },
        y: { distr: this.options.log ? 3 : 1 },
      },
      axes: [
        { ...axis, size: 34, ...(whole && { incrs: WHOLE }), values: (_plot, ticks) => ticks.map(this.options.axis === "time" ? span : short) },
        { ...axis, size: 62, values: (_plot, ticks) => ticks.map((one) => (one === null ? "" : short(one))) },
      ],
      legend: { show: false },
      cursor: {
        drag: { x: true, y: false, dist: 6 },
        points: { show: false },
        sync: this.options.sync ? { key: this.options.sync, setSeries: false, scales: ["x", null] } : undefined,
        bind: { dblclick: () => () => this.reset() },
      },
      hooks: {
        setCursor: [(plot) => this.#point(plot)],
        setScale: [(_plot, key) => key === "x" && this.#zoom()],
        draw: [(plot) => this.#marks(plot)],
      },
    }, this.#data(), this.place);
    this.plot.over.append(this.tip);
    this.plot.over.addEventListener("pointerenter", () => { this.hovered = true; });
    this.plot.over.addEventListener("pointerleave", () => { this.hovered = false; this.tip.hidden = true; });
    this.plot.over.addEventListener("click", (event) => {
      if (this.options.pick && !this.plot.select.width) this.options.pick(this.plot.posToVal(event.offsetX, "x"));
    });
  }

  #zoom() {
    const range = this.#range();
    if (this.busy || !range || !this.full) return;
    this.zoomed = range[0] > this.full[0] || range[1] < this.full[1];
    clearTimeout(this.settling);
    if (!this.options.detail || !this.zoomed) return;
    this.settling = setTimeout(async () => {
      const lines = await this.options.detail(...range);
      if (String(range) === String(this.#range())) {
        this.lines = lines;
        this.#put(range);
        this.place.dispatchEvent(new CustomEvent("detailed", { bubbles: true }));
      }
    }, SETTLE);
  }

  #key(event) {
    const range = this.#range();
    if (!range || event.ctrlKey || event.metaKey || event.altKey) return;
    const [begin, end] = range, width = end - begin;
    const moved = {
      "+": [begin + width / 4, end - width / 4], "=": [begin + width / 4, end - width / 4],
      "-": [begin - width / 2, end + width / 2],
      ArrowLeft: [begin - width / 5, end - width / 5], ArrowRight: [begin + width / 5, end + width / 5],
    }[event.key];
    if (event.key === "0" || event.key === "Escape") this.reset();
    else if (moved) {
      const [first, last] = this.full, wide = Math.min(moved[1] - moved[0], last - first);
      const from = Math.min(Math.max(moved[0], first), last - wide);
      this.plot.setScale("x", { min: from, max: from + wide });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #point(plot) {
    const { left, top } = plot.cursor;
    const x = left >= 0 ? plot.posToVal(left, "x") : null;
    const values = x === null ? [] : this.lines
      .map((line) => [line, nearest(line, x)])
      .filter(([, at]) => at >= 0)
      .map(([line, at]) => ({ line, x: line.x[at], y: line.y[at], low: line.low?.[at], high: line.high?.[at] }));
    this.options.pointed?.(values);
    this.tip.hidden = !this.hovered || !values.length;
    if (this.tip.hidden) return;
    const y = plot.posToVal(top, "y");
    const shown = [...values].sort((a, b) => Math.abs(a.y - y) - Math.abs(b.y - y)).slice(0, TIP_LINES);
    const unit = this.options.axis === "time" ? span(x) : `${this.options.axis} ${short(shown[0].x)}`;
    this.tip.replaceChildren(element("div", { className: "quiet", textContent: unit }), ...shown.map((one) => {
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = this.#stroke(one.line);
      const ends = one.low != null && one.low !== one.high ? ` (${short(one.low)} to ${short(one.high)})` : "";
      return element("div", {}, swatch, `${one.line.run}  ${short(one.y)}${ends}`);
    }));
    const right = left > plot.over.clientWidth / 2;
    this.tip.style.left = right ? "auto" : `${left + 14}px`;
    this.tip.style.right = right ? `${plot.over.clientWidth - left + 14}px` : "auto";
  }

  #marks(plot) {
    const pen = plot.ctx, { top, height, left, width } = plot.bbox, ratio = devicePixelRatio || 1;
    pen.save();
    pen.font = `${11 * ratio}px system-ui, sans-serif`;
    this.options.marks.forEach((mark, number) => {
      const x = plot.valToPos(mark.x, "x", true);
      if (!(x >= left && x <= left + width)) return;
      pen.strokeStyle = pen.fillStyle = named(mark.quiet ? "--quiet" : "--bad");
      pen.setLineDash([4 * ratio, 3 * ratio]);
      pen.beginPath();
      pen.moveTo(x, top);
      pen.lineTo(x, top + height);
      pen.stroke();
      const near = x > left + width / 2;
      pen.textAlign = near ? "right" : "left";
      pen.fillText(mark.text ?? "", x + (near ? -4 : 4) * ratio, top + (12 + 13 * (number % 4)) * ratio);
    });
    pen.restore();
  }

  #describe() {
    const ends = this.lines.map((line) => `${line.run}${line.part ? `, part ${line.part}` : ""}: last ${short(line.last)}`);
    this.place.setAttribute("aria-label",
      `${this.options.label ?? "Curve"}. ${ends.slice(0, 20).join("; ") || "No values"}. Plus and minus zoom, arrows move, 0 shows all.`);
  }
}
