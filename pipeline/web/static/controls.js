// Halt, resume, flatten: each behind a dialog that says what it does.
import { byId } from "./dom.js";
import { ask } from "./server.js";
import { openStory } from "./story.js";

const TEXT = {
  halt: ["Halt trading?", "Refuses every entry of every strategy and symbol until a resume. Exits pass.", "Halt trading"],
  resume: ["Resume trading?", "Allows entries again after a halt or a flatten.", "Resume trading"],
  flatten: ["Flatten and halt?", "Closes every position of every strategy and symbol, and refuses entries until a resume.", "Flatten every position"],
};
let role = "";

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
  const id = `page_${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2) + Date.now().toString(36)}`;
  const [title, text, yes] = TEXT[action];
  const dialog = byId("control");
  const said = byId("control-said");
  byId("control-title").textContent = title;
  byId("control-text").textContent = text;
  byId("control-reason").value = "";
  byId("control-yes").textContent = yes;
  byId("control-yes").disabled = false;
  said.textContent = "";
  byId("control-no").textContent = "Cancel";
  byId("control-no").onclick = () => dialog.close();
  byId("control-yes").onclick = async () => {
    byId("control-yes").disabled = true;
    said.className = "";
    said.textContent = "sending …";
    try {
      const answer = await ask("/v1/control", {
        method: "POST", headers: { "content-type": "application/json" },
        body: JSON.stringify({ action, id, reason: byId("control-reason").value }),
      });
      said.className = "good";
      said.textContent = `Accepted as event ${answer.event_id}.`;
      byId("control-no").textContent = "Close";
      byId("control-yes").textContent = "Its story";
      byId("control-yes").onclick = () => { dialog.close(); openStory(answer.event_id); };
      byId("control-yes").disabled = false;
    } catch (error) {
      // The same id again: whatever became of the first attempt, it happens once.
      said.className = "bad";
      said.textContent = error.message;
      byId("control-yes").disabled = false;
    }
  };
  dialog.showModal();
  byId("control-no").focus();
}
