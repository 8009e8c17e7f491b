// One person's probabilities over time: a chart (uPlot) and a table that says the same.
import { h, line, percent } from "./dom.mjs";
import { colourOf, labels, on } from "./state.mjs";

const DASHES = [[9, 3], [2, 4], [14, 4], [], [9, 3, 2, 3], [5, 4], [2, 2], [14, 3, 3, 3]];
const HEIGHT = 220;

let library = null; // uPlot, or null where this build has none

async function uplot() {
  if (library) return library;
  const sheet = h("link", { rel: "stylesheet", href: "vendor/uplot/uPlot.min.css" });
  document.head.append(sheet);
  library = (await import("./vendor/uplot/uPlot.esm.js")).default;
  return library;
}

const resolved = (value, holder) => {
  holder.style.color = value;
  return getComputedStyle(holder).color;
};

export class Timeline {
  // spanS: seconds shown, null for all. onSeek(time): a click in the chart.
  constructor({ spanS = null, onSeek = null } = {}) {
    Object.assign(this, { spanS, onSeek, times: [], values: [], marks: [], plot: null });
    this.holder = h("div", { class: "chart", role: "img", "aria-label": "Probabilities over time; the table below says the same." });
    this.probe = h("span", { class: "probe", hidden: true });
    this.keys = h("ul", { class: "keys", "aria-hidden": "true" });
    this.table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Probabilities over time" });
    this.details = h("details", { ontoggle: () => this.fillTable() }, h("summary", {}, "The same as a table"), this.table);
    this.element = h("div", { class: "stack" }, this.holder, this.probe, this.keys, this.details);
    this.dirty = false;
    new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT })).observe(this.holder);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
    on("settings", () => this.rebuild());
  }

  width() {
    return Math.max(200, this.holder.clientWidth);
  }

  // rows: [{time, probabilities}], marks: [{time_s, name}]
  set(rows, marks = []) {
    this.rows = rows;
    this.marks = marks;
    const names = labels();
    this.data = [rows.map((row) => row.time), ...names.map((label) => rows.map((row) => row.probabilities?.[label] ?? null))];
    if (!this.plot && !this.making) this.making = this.make();
    this.plot?.setData(this.data);
    if (this.details.open && performance.now() - (this.filledAt ?? 0) > 1000) this.fillTable();
  }

  async make() {
    let UPlot;
    try {
      UPlot = await uplot();
    } catch {
      this.holder.replaceChildren(h("p", { class: "fine" }, "This build has no chart. The table says the same; make vendor adds the chart."));
      this.details.open = true;
      return;
    }
    if (!this.holder.isConnected) {
      this.making = null;
      return;
    }
    const names = labels();
    const colours = names.map((label) => resolved(colourOf(label), this.probe));
    const ink = resolved("var(--soft)", this.probe);
    const grid = { stroke: resolved("var(--line)", this.probe), width: 1 };
    const axis = { stroke: ink, grid, ticks: grid, font: "12px system-ui" };
    this.keys.replaceChildren(...names.map((label, i) => h("li", {}, line(DASHES[i % 8], colours[i]), label)));
    this.holder.replaceChildren();
    this.plot = new UPlot(
      {
        width: this.width(),
        height: HEIGHT,
        cursor: { drag: { x: false, y: false } },
        legend: { show: false },
        scales: { x: { time: false, range: (_, low, high) => this.range(low, high) }, y: { range: [0, 1] } },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((tick) => `${+tick.toFixed(1)} s`) },
          { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => percent(tick)) },
        ],
        series: [{}, ...names.map((label, i) => ({ label, stroke: colours[i], width: 2, dash: DASHES[i % 8], points: { show: false }, spanGaps: false }))],
        hooks: { draw: [(plot) => this.drawMarks(plot, ink)] },
      },
      this.data,
      this.holder,
    );
    if (this.onSeek) {
      this.plot.over.addEventListener("click", (event) => this.onSeek(this.plot.posToVal(event.offsetX, "x")));
    }
  }

  range(low, high) {
    if (low === null) return [0, this.spanS ?? 1];
    if (!this.spanS) return [low, Math.max(high, low + 0.1)];
    return [Math.max(0, high - this.spanS), Math.max(this.spanS, high)];
  }

  drawMarks(plot, ink) {
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = ctx.strokeStyle = ink;
    ctx.font = `${12 * devicePixelRatio}px system-ui`;
    ctx.textAlign = "left";
    for (const { time_s: time, name } of this.marks) {
      const x = plot.valToPos(time, "x", true);
      if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) continue;
      ctx.beginPath();
      ctx.setLineDash([4, 4]);
      ctx.moveTo(x, plot.bbox.top);
      ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
      ctx.stroke();
      ctx.fillText(name, x + 4, plot.bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  }

  rebuild() {
    if (!this.plot) return;
    this.plot.destroy();
    this.plot = null;
    this.making = this.make();
  }

  // A row a second: the mean of that second.
  fillTable() {
    if (!this.details.open) return;
    this.filledAt = performance.now();
    const names = labels();
    const seconds = new Map();
    for (const { time, probabilities } of this.rows ?? []) {
      if (!probabilities) continue;
      const bucket = seconds.get(Math.floor(time)) ?? [];
      bucket.push(probabilities);
      seconds.set(Math.floor(time), bucket);
    }
    const body = [...seconds].map(([second, all]) => h("tr", {}, h("td", {}, `${second} s`), names.map((label) => h("td", {}, percent(all.reduce((sum, one) => sum + one[label], 0) / all.length)))));
    this.table.replaceChildren(
      h("table", {}, h("caption", { class: "unseen" }, "Mean probability of each second"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), names.map((label) => h("th", { scope: "col" }, label)))), h("tbody", {}, body)),
    );
  }
}
