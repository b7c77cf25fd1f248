// The whole story of one event, as `ringline explain` tells it.
import { byId, el, table } from "./dom.js";
import { ask } from "./server.js";
import { plain, tone } from "./tables.js";

let wanted = 0;

// `opener` gets the focus back when the story is closed; if its row is gone by then, the newest row does.
export async function openStory(eventId, opener = null) {
  const mine = ++wanted;
  const dialog = byId("story");
  dialog.onclose = opener && (() => (opener.isConnected ? opener : document.querySelector("#events tbody button"))?.focus());
  byId("story-title").textContent = `Event ${eventId}`;
  byId("story-body").replaceChildren(el("p", {}, "loading …"));
  if (!dialog.open) dialog.showModal();
  try {
    const { rows } = await ask(`/v1/events/${eventId}`);
    if (mine !== wanted) return; // another one's story is wanted by now
    byId("story-body").replaceChildren(...rows.slice(0, 50).map(chapter));
    if (rows.length > 50) byId("story-body").append(el("p", { class: "words" }, `and ${rows.length - 50} more keys`));
  } catch (error) {
    if (mine !== wanted) return;
    byId("story-body").replaceChildren(el("p", { class: "bad" }, error.message));
  }
}

function facts(pairs) {
  return el("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== "" && value !== undefined && value !== null)
    .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const code = (text) => (text ? el("code", {}, text) : "");

// What was checked before the event was accepted; a feed or a row of an older version has none.
function checked(checks) {
  if (!checks) return [["checked", "not recorded"]];
  const ms = checks.age_ms;
  const age = ms === null ? "no time signed" : ms >= 0 ? `signed ${ms} ms before` : `signed ${-ms} ms ahead of its acceptance`;
  const came = checks.index === null ? "alone" : `as event ${checks.index} of a batch`;
  return [["checked", `as ${checks.profile}, by secret ${checks.secret}, ${age}`],
    ["came", `${came} in a body of ${checks.body_bytes} bytes`],
    ["webhook-id", checks.named_by === "derived" ? "derived, for the sender named none" : `from ${checks.named_by}`],
    ["passed", checks.passed.join(", ")]];
}

const STEPS = ["synced", "dispatched", "decided", "executed", "audited"];

function way(accepted, told) {
  const since = [["accepted", 0], ...STEPS.map((step) => [step, told[`${step}_us`]])];
  return el("div", { class: "scroll" }, table([["step"], ["at"], ["since accepted", "n"]], since.map(([step, us]) => (
    us === null ? [step, "not recorded", ""] : [step, new Date(Date.parse(accepted) + us / 1000).toISOString(), `${(us / 1000).toFixed(3)} ms`]))));
}

function chapter(row) {
  if (row.unreadable) return el("section", {}, facts([["row", row.seq], ["unreadable", row.unreadable]]));
  const event = Object.entries(row.event).map(([name, value]) => `${name} ${plain(String(value))}`).join(", ");
  const made = el("section", {},
    el("h3", {}, `${row.key}, its event ${row.key_seq}: `, el("span", { class: tone(row.outcome) }, row.outcome)),
    facts([["accepted", row.accepted], ["by", `${row.source}, webhook-id ${row.webhook_id}`], ...checked(row.checks), ["event", event], ["fate", row.fate === "live" ? "" : row.fate],
      ["rejected", row.rejected], ["asked", row.inputs.join(" ")], ["decided by", row.code], ["resting", row.resting || ""]]));
  if (row.legs.length) {
    made.append(el("h3", {}, "Decision"), el("div", { class: "scroll" }, table([["strategy"], ["verdict"], ["wanted"], ["why not", "wrap"], ["retry at"]], row.legs.map((leg) => [
      leg.strategy, [leg.verdict, leg.reasons.length ? "warn" : ""], [leg.intent, leg.side, leg.quantity, leg.price && `at ${leg.price}`].filter(Boolean).join(" "), leg.reasons.join("; "), leg.retry_at]))));
  }
  if (row.fills.length) {
    made.append(el("h3", {}, "Fills"), el("div", { class: "scroll" }, table([["strategy"], ["side"], ["quantity", "n"], ["price", "n"], ["commission", "n"], ["realised", "n"], ["position", "n"], ["order of event"]], row.fills.map((fill) => [
      fill.strategy, fill.side, fill.quantity, fill.price, fill.commission, fill.realised, fill.position, `${fill.order_seq}, leg ${fill.order_leg}`]))));
  }
  if (row.cancelled.length) made.append(facts([["cancelled", row.cancelled.map((one) => `${one.strategy} ${one.quantity}`).join(", ")]]));
  if (row.way) made.append(el("h3", {}, "Way"), way(row.accepted, row.way));
  made.append(el("h3", {}, "In the chain"), facts([["row", row.seq], ["hash", code(row.chain_hash)], ["agent's state", code(row.agent_digest)], ["exec's state", code(row.exec_digest)], ["traceparent", code(row.traceparent)]]));
  return made;
}
