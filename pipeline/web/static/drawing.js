// The pipeline as it is: a column a stage (a row each on a phone), a box a worker, a line a link.
import { el, ms, number } from "./dom.js";

const STAGES = ["gateway", "agent", "exec", "audit"];
const BOX = { width: 158, height: 78 };

export function draw(frame, upright) {
  const stages = STAGES.map((stage) => ({
    stage,
    view: frame.stages.find((one) => one.stage === stage),
    workers: frame.replicas.filter((one) => one.stage === stage),
  }));
  const most = Math.max(1, ...stages.map(({ workers }) => workers.length));
  const size = upright ? uprightSize(most) : flatSize(most);
  const places = new Map();
  const svg = el("svg:svg", { viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": words(stages, frame.links) });
  stages.forEach(({ stage, view, workers }, index) => {
    svg.append(heading(stage, view, workers.length, size.head(index), upright));
    workers.forEach((worker, k) => places.set(worker.name, size.place(index, k, workers.length)));
  });
  const labels = [];
  STAGES.slice(0, -1).forEach((stage) => {
    const between = frame.links.filter((link) => link.sender.startsWith(`${stage}-`) && places.has(link.sender) && places.has(link.receiver));
    const ends = (link) => [places.get(link.sender), places.get(link.receiver)];
    between.forEach((link) => svg.append(wire(link, ...ends(link), upright)));
    // Where lines cross, what is said on each would be unreadable: one label says it of all, and those in
    // trouble still have their own.
    const senders = new Set(between.map((link) => link.sender)).size;
    const receivers = new Set(between.map((link) => link.receiver)).size;
    const cross = senders > 1 && receivers > 1;
    const crowded = cross || between.length > 6;
    if (crowded && between.length) labels.push(labelOfAll(between, between.map(ends), upright));
    between.filter((link) => !crowded || inTrouble(link)).forEach((link) => labels.push(label(link, ...ends(link), upright, receivers > 1)));
  });
  stages.forEach(({ workers }) => workers.forEach((worker) => svg.append(box(worker, places.get(worker.name)))));
  svg.append(...labels);
  return svg;
}

function flatSize(most) {
  const step = BOX.height + 22;
  const height = 52 + most * step;
  const column = 346;
  return {
    width: 3 * column + BOX.width + 4,
    height,
    head: (index) => (index < STAGES.length - 1 ? { x: 2 + index * column, y: 16 } : { x: 2 + index * column + BOX.width, y: 16, anchor: "end" }),
    place: (index, k, count) => ({ x: 2 + index * column, y: 48 + (most - count) * step / 2 + k * step }),
  };
}

function uprightSize(most) {
  const shown = Math.max(2, most);
  const width = 4 + shown * (BOX.width + 14);
  return {
    width,
    height: 4 * (BOX.height + 116) - 76,
    head: (index) => ({ x: 4, y: 16 + index * (BOX.height + 116) }),
    place: (index, k, count) => ({ x: (width - count * (BOX.width + 14) + 14) / 2 + k * (BOX.width + 14), y: 36 + index * (BOX.height + 116) }),
  };
}

function heading(stage, view, count, at, upright) {
  const replicas = `${count} ${count === 1 ? "worker" : "workers"}`;
  const facts = view ? `${number(view.handled_per_s, view.handled_per_s < 10 ? 1 : 0)}/s` : "";
  const lag = view && view.lag_ms !== null ? ` · lag ${ms(view.lag_ms)} ms` : "";
  const text = (y, words, extra) => el("svg:text", { x: at.x, y, class: extra, "text-anchor": at.anchor }, words);
  return upright
    ? el("svg:g", { class: "label" }, el("svg:rect", { x: at.x - 4, y: at.y - 14, width: 84, height: 36 }), text(at.y, stage, "stage"), text(at.y + 15, facts))
    : el("svg:g", {}, text(at.y, stage, "stage"), text(at.y + 16, `${replicas} · ${facts}${lag}`));
}

function box(worker, at) {
  const kind = worker.age_ms > 5000 ? "silent" : worker.blocked_percent >= 50 ? "blocked" : "";
  const line = (row, text, extra = "") => el("svg:text", { x: at.x + 9, y: at.y + 18 + row * 17, class: extra || null }, text);
  const cpu = worker.cpu_percent === null ? "" : `${number(worker.cpu_percent)} % CPU`;
  const memory = worker.memory_mb === null ? "" : `${number(worker.memory_mb)} MB`;
  const state = worker.age_ms > 5000 ? `silent for ${number(worker.age_ms / 1000)} s`
    : worker.blocked_percent > 0 ? `blocked ${number(worker.blocked_percent)} %` : `depth ${number(worker.depth)}`;
  return el("svg:g", {},
    el("svg:rect", { class: `box ${kind}`, x: at.x, y: at.y, width: BOX.width, height: BOX.height, rx: 8 }),
    line(0, worker.name, "name"), line(1, `${number(worker.handled_per_s, worker.handled_per_s < 10 ? 1 : 0)} events/s`, "rate"),
    line(2, state, kind ? "hot" : ""), line(3, [cpu, memory].filter(Boolean).join(" · ")));
}

function ends(from, to, upright) {
  return upright
    ? { x1: from.x + BOX.width / 2, y1: from.y + BOX.height, x2: to.x + BOX.width / 2, y2: to.y }
    : { x1: from.x + BOX.width, y1: from.y + BOX.height / 2, x2: to.x, y2: to.y + BOX.height / 2 };
}

function wire(link, from, to, upright) {
  const { x1, y1, x2, y2 } = ends(from, to, upright);
  const bend = upright ? `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}` : `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;
  const kind = link.state !== "up" ? link.state : link.blocked ? "blocked" : link.rate_per_s > 0 ? "flows" : "";
  return el("svg:path", { class: `wire ${kind}`, d: bend }, el("svg:title", {}, linkWords(link)));
}

const inTrouble = (link) => link.blocked || link.state !== "up";
const rateWords = (rate) => `${number(rate, rate !== null && rate < 10 ? 1 : 0)}/s`;

function label(link, from, to, upright, fans) {
  const { x1, y1, x2, y2 } = ends(from, to, upright);
  const x = upright ? x1 + (x2 - x1) * (fans ? 0.8 : 0.2) : (x1 + x2) / 2; // where lines are apart
  const y = upright ? (y1 + y2) / 2 + 12 : y1 + (y2 - y1) * 0.5;
  const trouble = link.state !== "up" ? link.state : link.blocked ? "blocked" : "";
  const lag = link.lag_ms === null || upright ? "" : ` · ${ms(link.lag_ms)} ms`;
  return plate(x, y, trouble || rateWords(link.rate_per_s), `${upright ? "" : "credit "}${number(link.free)}/${number(link.credit)}${lag}`, trouble);
}

function labelOfAll(links, places, upright) {
  const lines = places.map(([from, to]) => ends(from, to, upright));
  const mean = (pick) => lines.reduce((sum, line) => sum + pick(line), 0) / lines.length;
  const sum = (pick) => links.reduce((whole, link) => whole + pick(link), 0);
  const rate = links.some((link) => link.rate_per_s === null) ? null : sum((link) => link.rate_per_s);
  const oldest = Math.max(-1, ...links.map((link) => link.lag_ms ?? -1));
  const lag = oldest < 0 || upright ? "" : ` · ${ms(oldest)} ms`;
  return plate(mean(({ x1, x2 }) => (x1 + x2) / 2), mean(({ y1, y2 }) => (y1 + y2) / 2) + (upright ? 12 : 0),
    `${rateWords(rate)} on ${links.length} links`, `credit ${number(sum((link) => link.free))}/${number(sum((link) => link.credit))}${lag}`, "");
}

function plate(x, y, first, second, trouble) {
  const width = Math.max(first.length, second.length) * 6.6 + 12;
  const text = (dy, words, extra) => el("svg:text", { x, y: y + dy, "text-anchor": "middle", class: extra }, words);
  return el("svg:g", { class: "label" },
    el("svg:rect", { x: x - width / 2, y: y - 16, width, height: 32, rx: 4 }),
    text(-3, first, trouble ? "hot" : "rate"), text(12, second));
}

export function linkWords(link) {
  return `${link.sender} to ${link.receiver}: ${link.state}${link.blocked ? ", blocked" : ""}, ${number(link.rate_per_s, 1)} messages/s, ` +
    `${link.in_flight} in flight, credit ${link.free} of ${link.credit} free, oldest ${ms(link.lag_ms)} ms`;
}

// The drawing for those who hear it.
function words(stages, links) {
  const told = stages.map(({ stage, view, workers }) =>
    `${stage}: ${workers.length} ${workers.length === 1 ? "worker" : "workers"}${view ? `, ${number(view.handled_per_s)} events a second, lag ${ms(view.lag_ms)} ms` : ""}`);
  const trouble = links.filter(inTrouble).map(linkWords);
  return [...told, trouble.length ? `Links in trouble: ${trouble.join("; ")}` : "all links are up"].join(". ");
}
