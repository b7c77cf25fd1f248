// Joins everything: streams in, the page out, its age told all the time.
import { allow, askControl } from "./controls.js";
import { arrange, byId, el, ms, number, put, span } from "./dom.js";
import { draw } from "./drawing.js";
import { Plots } from "./plots.js";
import { Rows, SHOWN } from "./rows.js";
import { changeToken, follow, hasToken } from "./server.js";
import { openStory } from "./story.js";
import * as tables from "./tables.js";

const STALE_MS = 3000;
const DRAW_MS = 100; // rows are drawn no more often than this
let frame = null;
let book = null;
let steps = null;
let heardAt = performance.now();
let frameAt = heardAt;
let bookDue = true; // whoever comes, or comes back, is told a new one
let fault = "";
let chosen = "minute";
let stopFrames = null;
const wide = matchMedia("(min-width: 761px)");

// ---- theme
const dark = matchMedia("(prefers-color-scheme: dark)");
function theme(name) {
  document.documentElement.dataset.theme = name ?? localStorage.getItem("ringline-theme") ?? (dark.matches ? "dark" : "light");
}
function turnTheme() {
  const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("ringline-theme", name);
  theme(name);
  plots.redraw();
}
theme();
dark.addEventListener("change", () => { theme(); plots.redraw(); });

const plots = new Plots(byId("plot-latency"), byId("plot-rate"));

// ---- what comes
function take(name, data) {
  if (name === "hello") {
    plots.epoch = data.epoch;
    bookDue = true;
    allow(data.role, data.why_not);
    byId("other-token").hidden = !hasToken();
    return;
  }
  heardAt = performance.now();
  if (name === "points") {
    plots.add(data);
    say(data.at(-1));
  } else if (name === "steps") {
    steps = data;
    showSteps();
  } else if (name === "book") {
    book = data;
    bookDue = false;
    showBook();
  } else if (name === "frame") {
    frame = data;
    frameAt = heardAt;
    showFrame();
  }
  age();
}

function say(point) {
  if (!point) return;
  const [, , count, lost, p50, p95, p99] = point;
  byId("latency-words").textContent = count
    ? `p50 ${ms(p50)}, p95 ${ms(p95)}, p99 ${ms(p99)} ms of ${number(count)} events${lost ? `; ${number(lost)} records lost: the tail is understated` : ", none lost"}`
    : `nothing settled in the last 5 s${lost ? `; ${number(lost)} records lost` : ""}`;
}

function showFrame() {
  put(byId("drawing"), frame.stages.length || frame.links.length ? draw(frame, !wide.matches) : el("p", { class: "soft" }, "No worker has told anything yet."));
  put(byId("workers"), tables.workers(frame.replicas));
  put(byId("links"), tables.links(frame.links));
  put(byId("deaths"), ...frame.dead.map((text) => el("p", { class: "bad" }, text)));
  const rate = frame.stages.find((one) => one.stage === "audit")?.handled_per_s ?? null;
  const shed = frame.stages.reduce((sum, one) => sum + one.shed, 0);
  put(byId("brief"), el("b", {}, number(rate, rate !== null && rate < 10 ? 1 : 0)), " events/s audited", shed ? `, ${number(shed)} shed` : "", `, up ${span(frame.uptime_s * 1000)}`);
  const parts = frame.stages.filter((one) => one.lag_ms !== null).map((one) => `${one.stage} ${ms(one.lag_ms)} ms`);
  byId("rate-words").textContent = parts.length ? `lag: ${parts.join(", ")}` : "nobody tells of a lag";
  showHalted();
  byId("scaling").hidden = !frame.decisions.length;
  put(byId("decisions"), ...frame.decisions.map((one) => el("li", {}, el("time", { datetime: one.at, class: "soft" }, tables.clock(one.at)), ` ${one.sentence}`)));
}

function showSteps() {
  put(byId("golden"), tables.golden(steps[chosen]));
}

function showBook() {
  const behind = book.seq < book.head ? [el("p", { class: "words" }, `added up to row ${number(book.seq)} of ${number(book.head)}`)] : [];
  if (book.keys_due) behind.push(el("p", { class: "words" }, `halts and throttles of ${number(book.keys_due)} keys are still being read`));
  if (book.away) behind.push(el("p", { class: "bad" }, book.away));
  const since = book.since > 1 ? [el("p", { class: "words" }, `rows before ${number(book.since)} were pruned and are not counted`)] : [];
  put(byId("outcomes"), tables.bars(book.outcomes, "No row yet."), ...behind, ...since);
  put(byId("denials"), el("h3", {}, "Denied, by reason"), tables.bars(book.denials, "Nothing was denied."));
  put(byId("throttles"), tables.throttles(book), ...(book.fault ? [el("p", { class: "bad" }, book.fault)] : []));
  put(byId("positions"), tables.positions(book), ...behind, ...since);
  showHalted();
}

// The audit tells which keys are halted, the gateway what keys that are new begin under: before the first key
// there is no row of a halt.
function showHalted() {
  const halted = byId("halted");
  const standing = frame?.standing ?? [];
  const count = book?.halted_count ?? 0;
  halted.hidden = !count && !standing.length;
  halted.title = [...standing, ...(book?.halted ?? [])].join(", ");
  if (!count) halted.textContent = "halted: every key that is new";
  else halted.textContent = book.keys === 1 ? "halted: the only key" : `halted: ${book.halted_count === book.keys ? `all ${number(book.keys)}` : `${number(book.halted_count)} of ${number(book.keys)}`} keys`;
}

// ---- how old it is
function age() {
  const silentMs = performance.now() - heardAt;
  const ageMs = frame && frame.age_ms !== null ? frame.age_ms + performance.now() - frameAt : null;
  const stale = ageMs === null || ageMs > STALE_MS;
  const pill = byId("live");
  document.body.classList.toggle("stale", stale);
  // What the audit adds up to needs no collector: it is old when this page's server is silent, or has no audit.
  document.body.classList.toggle("book-stale", silentMs > STALE_MS || bookDue || Boolean(book?.away));
  pill.className = `pill ${stale ? "bad" : "good"}`;
  pill.textContent = ageMs === null ? "no data yet" : stale ? `stale: ${span(ageMs)} old` : `live, ${span(ageMs)} old`;
  const said = ageMs === null ? "no data yet" : stale ? "stale" : "live"; // without the age, which would be told for ever
  if (byId("live-said").textContent !== said) byId("live-said").textContent = said;
  const trouble = byId("trouble");
  const reason = fault ? `This page's server: ${fault}` : frame?.fault ?? "";
  trouble.hidden = !(reason && stale);
  trouble.textContent = reason;
  const feedStale = rows.fault !== "" || performance.now() - rows.heardAt > STALE_MS;
  document.body.classList.toggle("feed-stale", feedStale);
  const state = byId("feed-state");
  state.className = `state ${feedStale ? "bad" : ""}`;
  state.textContent = feedStale ? `not live: ${rows.fault || `silent for ${span(performance.now() - rows.heardAt)}`}` : `live; next row ${number(rows.next)}`;
}

// ---- rows
let drawn = 0;
let pending = 0;
let pointed = false;
let audit = 1;
const list = byId("events").parentElement;
list.addEventListener("pointerenter", (event) => { pointed = event.pointerType === "mouse"; });
list.addEventListener("pointerleave", () => { pointed = false; showRows(); });
list.addEventListener("focusout", () => setTimeout(showRows));

// Somebody who points at a row, or has the focus in one, must not have it move away.
const standsStill = () => (pointed || list.contains(document.activeElement)) && !document.querySelector("dialog[open]");

function showRows() {
  pending = 0;
  drawn = performance.now();
  const shown = Number(byId("events").tBodies[0].rows[0]?.dataset.seq ?? 0);
  const fresh = rows.rows.filter((row) => row.seq > shown).length;
  const another = audit !== rows.audit;
  audit = rows.audit;
  if (!another && standsStill() && shown && rows.rows.length && fresh) {
    byId("events-words").textContent = `stands still while you are here; ${fresh}${fresh >= SHOWN ? " or more" : ""} newer rows wait`;
    return;
  }
  const body = byId("events").tBodies[0];
  const known = new Map([...body.rows].map((row) => [`${row.dataset.seq} ${row.dataset.event}`, row]));
  arrange(body, rows.rows.map((row) => known.get(`${row.seq} ${row.event_id}`) ?? rowOf(row)));
  const words = [];
  if (!rows.rows.length) words.push(rows.held ? "No row yet." : "Nothing but held events so far.");
  if (rows.rows.length >= SHOWN) words.push(`the newest ${SHOWN}`);
  if (rows.audit > 1) words.push("the server has another audit than before, such as a restored one; these are its rows");
  if (rows.skipped) words.push(`${number(rows.skipped)} rows passed while this page was away and are not shown; the audit has them`);
  if (rows.gaps) words.push(`${rows.gaps} rows came out of order`);
  byId("events-words").textContent = words.join("; ");
}
function rowOf(row) {
  return el("tr", { "data-seq": row.seq, "data-event": row.event_id }, el("td", { class: "n" }, number(row.seq)), el("td", {}, el("span", { class: "day" }, `${row.accepted.slice(0, 10)} `), row.accepted.slice(11, 19), el("span", { class: "day" }, row.accepted.slice(19, 23))), el("td", {}, row.key),
    el("td", { class: tables.tone(row.outcome) }, row.outcome), el("td", { class: "wrap" }, row.event ? tables.what(row) : row.unreadable),
    el("td", {}, el("button", { type: "button", class: "link", "aria-label": `Story of row ${row.seq}`, onclick: ({ currentTarget }) => openStory(row.event_id, currentTarget) }, "story")));
}
const rows = new Rows(() => {
  if (!pending) pending = setTimeout(() => { showRows(); age(); }, Math.max(0, DRAW_MS - (performance.now() - drawn)));
});

// ---- what is pressed
for (const button of document.querySelectorAll("[data-window]")) {
  button.onclick = () => {
    chosen = button.dataset.window;
    for (const one of document.querySelectorAll("[data-window]")) one.setAttribute("aria-pressed", one === button);
    if (steps) showSteps();
  };
}
for (const button of document.querySelectorAll("[data-action]")) button.onclick = () => askControl(button.dataset.action);
byId("theme").onclick = turnTheme;
byId("other-token").onclick = async () => {
  if (await changeToken()) { stop(); start(); }
};
byId("held").onchange = () => rows.start(byId("held").checked);
wide.addEventListener("change", () => { if (frame) showFrame(); });
const KEYS = {
  h: () => askControl("halt"), r: () => askControl("resume"), f: () => askControl("flatten"), t: turnTheme,
  e: () => byId("events").querySelector("tbody button")?.focus(),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), dialog")) return;
  KEYS[event.key]?.();
});

// ---- a page that nobody sees asks for nothing; seen again it goes on where it was
function start() {
  stopFrames ??= follow("/v1/live", () => plots.place, take, (text) => { fault = text; age(); });
  rows.start();
}
function stop() {
  stopFrames?.();
  stopFrames = null;
  rows.stop();
}
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
allow("");
setInterval(age, 250);
start();
