// What a frame and a book say, as tables.
import { NOTHING, el, ms, number, table } from "./dom.js";

const VERDICTS = { met: ["met", "good"], over: ["over budget", "bad"], unknown: ["unknown", "soft"], none: ["no budget", "soft"] };

export function golden(steps) {
  const rows = steps.map((step) => [
    step.stage === "all" ? "accept → settled" : step.stage, step.event,
    ms(step.p50_ms), [ms(step.p95_ms), step.verdict === "over" ? "bad" : ""], ms(step.p99_ms),
    step.budget_ms === null ? NOTHING : number(step.budget_ms),
    step.budget_ms === null || step.p95_ms === null ? "" : el("meter", { min: 0, max: 1, low: 0.6, high: 0.99, optimum: 0, value: Math.min(1, step.p95_ms / step.budget_ms), "aria-label": `${step.event}: p95 in parts of its budget` }),
    VERDICTS[step.budget_ms === null ? "none" : step.verdict], number(step.count), [number(step.lost), step.lost ? "bad" : ""],
  ]);
  return table([["stage"], ["step"], ["p50 ms", "n"], ["p95 ms", "n"], ["p99 ms", "n"], ["budget ms", "n"], ["p95 of it"], ["verdict"], ["count", "n"], ["lost", "n"]], rows, "Golden path");
}

export function workers(replicas) {
  return table([["worker"], ["events/s", "n"], ["depth", "n"], ["lag ms", "n"], ["free credit", "n"], ["blocked %", "n"], ["CPU %", "n"], ["MB", "n"], ["last sign"]],
    replicas.map((one) => [one.name, number(one.handled_per_s, 1), number(one.depth), ms(one.lag_ms), number(one.credit), [number(one.blocked_percent), one.blocked_percent >= 50 ? "warn" : ""],
      number(one.cpu_percent), number(one.memory_mb), one.age_ms > 5000 ? [`${number(one.age_ms / 1000)} s ago`, "bad"] : "now"]), "Workers");
}

export function links(found) {
  return table([["from"], ["to"], ["state"], ["messages/s", "n"], ["oldest ms", "n"], ["in flight", "n"], ["free credit", "n"], ["credit", "n"]],
    found.map((one) => [one.sender, one.receiver, [one.blocked ? "blocked" : one.state, one.state === "up" && !one.blocked ? "good" : "bad"], number(one.rate_per_s, 1), ms(one.lag_ms), number(one.in_flight), number(one.free), number(one.credit)]), "Links");
}

export function bars(counts, empty) {
  const entries = Object.entries(counts).filter(([, count]) => count);
  if (!entries.length) return el("p", { class: "soft" }, empty);
  const whole = entries.reduce((sum, [, count]) => sum + count, 0);
  return el("div", { class: "bars" }, ...entries.flatMap(([name, count]) => [
    el("span", {}, name), el("meter", { min: 0, max: whole, value: count, "aria-label": `${name}: ${count} of ${whole}` }), el("span", { class: "n" }, number(count))]));
}

export function throttles(book) {
  if (!book.throttles.length) return el("p", { class: "soft" }, "No throttle has a scope yet.");
  const money = book.throttles.some((one) => one.throttle_remaining_notional !== null);
  const rows = book.throttles.map((one) => [
    one.scope.symbol ?? "all", one.scope.strategy_id ?? "all", one.name,
    [one.state.replaceAll("_", " "), one.state === "open" ? "good" : "bad"],
    one.remaining_trades === null ? NOTHING : `${number(one.remaining_trades)} of ${number(one.max_trades)}`,
    ...(money ? [one.throttle_remaining_notional ?? NOTHING] : []), one.retry_at ? el("time", { datetime: one.retry_at, title: one.message }, clock(one.retry_at)) : NOTHING, clock(one.as_of)]);
  const more = book.throttles_left_out ? el("p", { class: "words" }, `${book.throttles_left_out} more scopes, less used`) : null;
  return el("div", {}, table([["key"], ["strategy"], ["throttle"], ["state"], ["entries left", "n"], ...(money ? [["notional left", "n"]] : []), ["retry at"], ["as of"]], rows, "Throttles"), more);
}

export function positions(book) {
  if (!book.lines.length) return el("p", { class: "soft" }, "Nothing has been filled yet.");
  const tone = (text) => [text, text.startsWith("-") ? "bad" : /[1-9]/.test(text) ? "good" : ""];
  const more = book.lines_left_out ? el("p", { class: "words" }, `${number(book.lines_left_out)} more are not shown; closed positions are left out first`) : null;
  return el("div", {}, more, table([["key"], ["strategy"], ["position", "n"], ["last close", "n"], ["realised", "n"], ["unrealised", "n"], ["commission", "n"], ["net", "n"], ["fills", "n"], ["trades", "n"]],
    book.lines.map((one) => [one.symbol, one.strategy, one.position, one.last_close || NOTHING, tone(one.realised), tone(one.unrealised), one.commission, tone(one.net), number(one.fills), number(one.trades)]), "Positions"));
}

export function clock(text) {
  return text ? text.replace("T", " ").replace(/\.\d+/, "").replace(/Z|\+00:00/, "") : NOTHING;
}

// What is written in a text that somebody sent: signs that turn it around, or are not seen, stand as U+….
export const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (sign) => `\u27e8U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);

export function what(row) {
  if (row.unreadable) return `unreadable: ${row.unreadable}`;
  if (row.rejected) return row.rejected;
  const fills = row.fills.map((fill) => `${fill.strategy}: ${fill.side} ${fill.quantity} at ${fill.price}`);
  const denied = row.legs.filter((leg) => leg.reasons.length).map((leg) => `${leg.strategy}: ${leg.reasons.join("; ")}`);
  const ordered = row.fills.length ? [] : row.legs.filter((leg) => leg.verdict === "ordered").map((leg) => `${leg.strategy}: order to ${leg.side} ${leg.quantity}`);
  const told = [...fills, ...ordered, ...denied].join(" · ");
  if (told) return told;
  const event = row.event;
  if (event.type === "candle") return `candle, close ${event.close}`;
  if (event.type === "control") return `${event.action}${event.reason ? `: ${plain(event.reason)}` : ""}`;
  return [event.type, event.strategy, event.side, event.quantity].filter(Boolean).join(" ");
}

export const tone = (outcome) => ({ filled: "good", placed: "good", rejected: "warn", expired: "bad", dead_lettered: "bad" })[outcome] ?? "soft";
