// The newest rows of the audit, by its WebSocket. `next` is the row that must come next: after a break it is
// asked for again, so that none is missed and none comes twice. `known` is a row whose hash is known: if the audit
// has another one there, it is another audit, such as a restored one, and the page begins anew.
import { ask, subprotocols } from "./server.js";

export const SHOWN = 60;
const FAR = 5000; // further behind than this the newest are shown, and how many were left out is said
const HAPPENED = ["filled", "placed", "rejected", "expired", "dead_lettered", "control"];

export class Rows {
  constructor(changed) {
    this.changed = changed;
    this.rows = []; // the newest first
    this.next = null;
    this.known = null; // [row, hash]
    this.audit = 1; // which one since the page was opened
    this.skipped = 0;
    this.received = 0;
    this.gaps = 0;
    this.fault = "connecting …";
    this.heardAt = performance.now();
    this.held = false;
    this.run = 0;
  }

  start(held = this.held) {
    if (held !== this.held) { this.next = null; this.rows = []; }
    this.held = held;
    this.stop();
    this.#follow(this.run);
  }

  stop() {
    this.run += 1;
    this.socket?.close();
  }

  #filter() { return this.held ? "" : HAPPENED.map((name) => `&outcome=${name}`).join(""); }

  async #follow(run) {
    let wait = 250;
    while (run === this.run) {
      try {
        await this.#place(run);
        if (run !== this.run) return;
        const before = this.received;
        await this.#listen(run);
        if (this.received > before) wait = 250;
      } catch (error) {
        if (run === this.run) this.fault = error.message;
      }
      if (run !== this.run) return;
      this.changed();
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, 5000);
    }
  }

  // Where to go on: where it was, or at the newest rows when there is no such place (any more).
  async #place(run) {
    const head = await ask("/v1/head");
    if (run !== this.run) return;
    const other = this.known !== null && !(await this.#isThere(head));
    if (run !== this.run) return;
    if (other) {
      this.audit += 1;
      this.next = null;
      this.skipped = this.gaps = 0;
    }
    if (this.next !== null && this.next <= head.seq + 1 && this.next >= head.first && head.seq - this.next < FAR) return;
    if (this.next !== null) this.skipped += Math.max(0, head.seq + 1 - this.next);
    const page = await ask(`/v1/rows?order=desc&limit=${SHOWN}${this.#filter()}`);
    if (run !== this.run) return;
    this.rows = page.rows.filter((row) => row.seq <= head.seq);
    this.next = head.seq + 1;
    this.known = head.seq ? [head.seq, head.hash] : null;
    this.changed();
  }

  // Whether the row that is known is in this audit. One that was pruned says nothing.
  async #isThere(head) {
    const [seq, hash] = this.known;
    if (seq > head.seq) return false;
    if (seq === head.seq) return hash === head.hash;
    if (seq < head.first) return true;
    const [row] = (await ask(`/v1/rows?after=${seq - 1}&limit=1`)).rows;
    return row?.seq !== seq || row.unreadable !== undefined || row.chain_hash === hash;
  }

  #listen(run) {
    return new Promise((done, fail) => {
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      const after = this.known?.[0] === this.next - 1 ? `&after_hash=${this.known[1]}` : "";
      const socket = new WebSocket(`${scheme}://${location.host}/v1/feed?from=${this.next}${after}&heartbeat_ms=1000&delay_ms=500${this.#filter()}`, subprotocols());
      this.socket = socket;
      socket.onmessage = ({ data }) => {
        if (run !== this.run) return;
        this.heardAt = performance.now();
        this.fault = "";
        const message = JSON.parse(data);
        if (message.type === "row") {
          if (message.seq < this.next || (this.held && message.seq !== this.next)) this.gaps += 1;
          this.received += 1;
          this.rows.unshift(message.row);
          this.rows.length = Math.min(this.rows.length, SHOWN);
          this.next = message.seq + 1;
          this.known = [message.seq, message.hash];
        } else if (message.type === "heartbeat") {
          this.next = message.next;
        }
        this.changed();
      };
      socket.onclose = ({ reason }) => {
        if (run === this.run) this.fault = reason || "the feed is away; trying again";
        done();
      };
      socket.onerror = () => fail(new Error("the feed is away; trying again"));
    });
  }
}
