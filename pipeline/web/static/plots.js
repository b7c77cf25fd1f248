// The plots: the newest quarter of an hour, each point once. Colours are the page's own, read when drawn.
const BUDGET_MS = 45;
const KEPT = 900;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const english = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 2 });
// A point between two gaps would be a line of no length: it is drawn as a dot, and no other is.
export const alone = (values) => values.flatMap((value, at) =>
  (value !== null && value !== undefined && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null ? [at] : []));
const axis = (extra) => ({
  stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 },
  ticks: { stroke: () => colour("--line"), width: 1 }, values: (_, marks) => marks.map(english), font: "11px system-ui, sans-serif", ...extra,
});
const clock = (at, seconds) => new Date(at * 1000).toISOString().slice(11, seconds ? 19 : 16); // UTC, 24 hours
const times = () => axis({ values: (_, marks, __, ___, step) => marks.map((at) => clock(at, step < 60)), space: 70 });
const line = (label, name, extra = {}) => ({
  label, stroke: () => colour(name), width: 1.5, spanGaps: false, points: { show: true, size: 5, filter: (plot, series) => alone(plot.data[series]) },
  value: (_, value) => (value === null || value === undefined ? "–" : english(value)), ...extra,
});

export class Plots {
  constructor(latencyPlace, ratePlace) {
    this.points = [];
    this.epoch = ""; // names the server that tells now: numbers are its own
    this.toldBy = ""; // the one that told the last point
    this.places = [latencyPlace, ratePlace];
    const x = { value: (_, at) => (at ? new Date(at * 1000).toLocaleTimeString("en-GB", { timeZone: "UTC" }) : "–"), label: "UTC" };
    const common = (place) => ({
      width: place.clientWidth, height: 178, tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      cursor: { drag: { x: false, y: false } }, padding: [8, 8, 0, 0], scales: { x: { time: true } },
    });
    this.latency = new uPlot({
      ...common(latencyPlace), series: [x, line("p50", "--green"), line("p95", "--blue"), line("p99", "--violet"), line("budget p95 45 ms", "--red", { dash: [6, 4], width: 1 })],
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(1, (high ?? 1) * 1.08)] } }, axes: [times(), axis({ size: 46 })],
    }, [[], [], [], [], []], latencyPlace);
    this.rate = new uPlot({
      ...common(ratePlace), series: [x, line("events/s", "--blue", { scale: "y", fill: () => `${colour("--blue")}22` }), line("agent lag ms", "--orange", { scale: "lag" }), line("exec lag ms", "--violet", { scale: "lag" }), line("audit lag ms", "--green", { scale: "lag" })],
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(1, (high ?? 1) * 1.08)] }, lag: { range: (_, low, high) => [0, Math.max(1, (high ?? 1) * 1.08)] } },
      axes: [times(), axis({ size: 46 }), axis({ scale: "lag", side: 1, size: 46, grid: { show: false } })],
    }, [[], [], [], [], []], ratePlace);
    new ResizeObserver(() => this.resize()).observe(latencyPlace);
    new ResizeObserver(() => this.resize()).observe(ratePlace);
  }

  // Where the points go on.
  get place() { return `${this.toldBy}:${this.points.at(-1)?.[0] ?? 0}`; }

  // Points as [number, at_ms, count, lost, p50, p95, p99, rate, [lags]]. A point without figures stands where
  // one was missed or another server began: the lines end there. Of moments told twice the new stay.
  add(points) {
    let same = this.epoch === this.toldBy;
    this.toldBy = this.epoch;
    for (const point of points) {
      while (this.points.length && this.points.at(-1)[1] >= point[1]) { this.points.pop(); same = false; }
      const last = this.points.at(-1);
      if (last?.[0] && !(same && point[0] === last[0] + 1)) this.points.push([0, (last[1] + point[1]) / 2, 0, 0, null, null, null, null, [null, null, null]]);
      this.points.push(point);
      same = true;
    }
    this.points.splice(0, Math.max(0, this.points.length - KEPT));
    this.redraw();
  }

  redraw() {
    const column = (pick) => this.points.map(pick);
    const at = column((point) => point[1] / 1000);
    const budget = this.points.some((point) => point[5] > BUDGET_MS / 3) ? column(() => BUDGET_MS) : column(() => null);
    this.latency.setData([at, column((p) => p[4]), column((p) => p[5]), column((p) => p[6]), budget]);
    this.rate.setData([at, column((p) => p[7]), column((p) => p[8][0]), column((p) => p[8][1]), column((p) => p[8][2])]);
  }

  resize() {
    this.latency.setSize({ width: this.places[0].clientWidth, height: 178 });
    this.rate.setSize({ width: this.places[1].clientWidth, height: 178 });
  }
}
