// Asks this page's own server, with the token where one is needed.
let token = sessionStorage.getItem("ringline-token") ?? "";
let asking = null;

export const headers = () => (token ? { authorization: `Bearer ${token}` } : {});
export function subprotocols() {
  if (!token) return [];
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  return ["ringline.v1", `bearer.${btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}

// What a browser says of a server that is away differs from one to the other.
async function fetched(path, options) {
  try {
    return await fetch(path, { cache: "no-store", ...options, headers: { ...headers(), ...options.headers } });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("no answer: the server is away, or cannot be reached");
  }
}

// Asks for the token once, however many requests were refused, and says so when one was given: `used` is the
// token that was refused. A request that was sent before the token that holds now is only to be sent again.
export function askToken(used) {
  if (!asking && used !== token) return Promise.resolve();
  asking ??= new Promise((done) => {
    const dialog = document.getElementById("token");
    const text = document.getElementById("token-text");
    document.getElementById("token-said").textContent = used ? "The server does not know this token." : "";
    document.getElementById("token-no").hidden = true;
    const take = () => {
      token = text.value.trim();
      sessionStorage.setItem("ringline-token", token);
      asking = null;
      dialog.close();
      done();
    };
    document.getElementById("token-yes").onclick = take;
    document.getElementById("token-form").onsubmit = (event) => { event.preventDefault(); take(); };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => { if (asking && !dialog.open) dialog.showModal(); }; // Escape twice closes it all the same
    if (!dialog.open) dialog.showModal();
  });
  return asking;
}

export const hasToken = () => token !== "";

// Another token, such as one with another role, if whoever looks gives one; says whether.
export function changeToken() {
  if (asking || document.querySelector("dialog[open]")) return Promise.resolve(false);
  return new Promise((done) => {
    const dialog = document.getElementById("token");
    const text = document.getElementById("token-text");
    document.getElementById("token-said").textContent = "";
    document.getElementById("token-no").hidden = false;
    document.getElementById("token-no").onclick = () => dialog.close();
    text.value = "";
    let given = false;
    const take = () => {
      given = text.value.trim() !== "";
      if (given) {
        token = text.value.trim();
        sessionStorage.setItem("ringline-token", token);
      }
      dialog.close();
    };
    document.getElementById("token-yes").onclick = take;
    document.getElementById("token-form").onsubmit = (event) => { event.preventDefault(); take(); };
    dialog.oncancel = null;
    dialog.onclose = () => done(given);
    dialog.showModal();
  });
}

// A JSON answer; throws an Error with the server's own words.
export async function ask(path, options = {}) {
  const used = token;
  const answer = await fetched(path, options);
  if (answer.status === 401) {
    await askToken(used);
    return ask(path, options);
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(said.detail ?? said.title ?? `${path}: ${answer.status}`), { status: answer.status });
  return said;
}

// Server-sent events over fetch, which can send a token where EventSource cannot. `take(name, data)` gets
// each event; `place()` says which point of which server was seen last; `state(text)` hears "" or what is wrong.
export function follow(path, place, take, state) {
  let stopped = false;
  let abort = new AbortController();
  (async () => {
    let wait = 250;
    while (!stopped) {
      abort = new AbortController();
      try {
        const used = token;
        const answer = await fetched(`${path}?after=${place()}`, { signal: abort.signal });
        if (answer.status === 401) { await askToken(used); continue; }
        if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `answered ${answer.status}`);
        state("");
        await readEvents(answer.body, (name, data) => { wait = 250; if (!stopped) take(name, data); });
        state("the server closed the stream");
      } catch (error) {
        if (stopped) return;
        state(error.message);
      }
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, 5000);
    }
  })();
  return () => { stopped = true; abort.abort(); };
}

async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const fields = Object.fromEntries(text.slice(0, end).split("\n").map((line) => {
        const at = line.indexOf(": ");
        return [line.slice(0, at), line.slice(at + 2)];
      }));
      text = text.slice(end + 2);
      if (fields.event) take(fields.event, JSON.parse(fields.data));
    }
  }
}
