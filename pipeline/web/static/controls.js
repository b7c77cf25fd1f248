// Halt, resume, flatten: each behind a dialog that says what it does. An answer that comes when its own dialog
// is closed, or another one is open, is told in a notice.
import { byId, el } from "./dom.js";
import { ask } from "./server.js";
import { openStory } from "./story.js";

const TEXT = {
  halt: ["Halt trading?", "Refuses every entry of every strategy and symbol until a resume. Exits pass.", "Halt trading"],
  resume: ["Resume trading?", "Allows entries again after a halt or a flatten.", "Resume trading"],
  flatten: ["Flatten and halt?", "Closes every position of every strategy and symbol, and refuses entries until a resume.", "Flatten every position"],
};
const NOTICES = 3; // shown at a time
let role = "";
let opening = 0;

// `whyNot`: why this server can send no controls, whoever asks.
export function allow(given, whyNot = "") {
  role = whyNot ? "" : given;
  for (const button of document.querySelectorAll("[data-action]")) {
    button.disabled = role !== "control";
    button.title = role === "control" ? "" : whyNot || "needs a token with the role control";
  }
}

export function askControl(action) {
  if (role !== "control" || document.querySelector("dialog[open]")) return;
  const mine = ++opening;
  const id = `page_${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2) + Date.now().toString(36)}`;
  const [title, text, yes] = TEXT[action];
  const dialog = byId("control");
  let sending = false;
  let notice = null;
  byId("control-title").textContent = title;
  byId("control-text").textContent = text;
  byId("control-reason").value = "";
  byId("control-yes").textContent = yes;
  byId("control-yes").disabled = false;
  say("");
  byId("control-no").textContent = "Cancel";
  byId("control-no").onclick = () => dialog.close();
  // Also by Escape, and before the next opening: `close` would come after it.
  const leave = () => {
    if (mine !== opening || dialog.open) return;
    opening += 1;
    if (sending) notice = tell(`${action} is on its way: it was sent, and is not answered yet.`);
  };
  dialog.onclose = leave;
  byId("control-yes").onclick = async () => {
    const reason = byId("control-reason").value;
    byId("control-yes").disabled = true;
    byId("control-no").textContent = "Close";
    say("sending … It is on its way: to close this does not take it back.");
    sending = true;
    let event = null;
    let fault = "";
    try {
      event = (await ask("/v1/control", {
        method: "POST", headers: { "content-type": "application/json" },
        body: JSON.stringify({ action, id, reason }),
      })).event_id;
    } catch (error) {
      fault = error.message;
    }
    sending = false;
    if (mine !== opening || !dialog.open) {
      tell(fault ? `${action}: ${fault}` : `${action} accepted as event ${event}.`, fault ? "bad" : "good", event, notice);
      return;
    }
    byId("control-yes").disabled = false;
    if (fault) {
      // The same id again: whatever became of the first attempt, it happens once.
      say(fault, "bad");
      byId("control-no").textContent = "Cancel";
      return;
    }
    say(`Accepted as event ${event}.`, "good");
    byId("control-yes").textContent = "Its story";
    byId("control-yes").onclick = () => { dialog.close(); openStory(event); };
  };
  dialog.showModal();
  byId("control-no").focus();
}

function say(text, kind = "") {
  byId("control-said").className = kind;
  byId("control-said").textContent = text;
}

// A line that stays until it is put away, in the place of `old`.
function tell(text, kind = "", event = null, old = null) {
  const line = el("p", { class: kind || null }, text,
    event && el("button", { type: "button", class: "link", onclick: () => openStory(event) }, "its story"),
    el("button", { type: "button", class: "link", "aria-label": "Put this notice away", onclick: () => line.remove() }, "×"));
  const place = byId("notices");
  old?.remove();
  place.append(line);
  while (place.children.length > NOTICES) place.firstElementChild.remove();
  return line;
}
