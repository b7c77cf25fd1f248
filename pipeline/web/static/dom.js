// Elements and numbers as text. Nothing here ever parses markup: what the pipeline says is only ever text.
export const byId = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
    child instanceof Node ? child : String(child)));
  return made;
}

export const NOTHING = "–";
export function number(value, digits = 0) {
  if (value === null || value === undefined) return NOTHING;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
export function ms(value) {
  if (value === null || value === undefined) return NOTHING;
  return number(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}
export function span(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

// A table of `columns` [heading, kind], where kind is "" or "n" (a number) or "wrap"; cells are text, a
// node, or [text, class].
export function table(columns, rows, caption) {
  const head = el("tr", {}, ...columns.map(([name, kind]) => el("th", { class: kind === "n" ? "n" : null, scope: "col" }, name)));
  const body = rows.map((cells) => el("tr", {}, ...cells.map((cell, index) => {
    const [content, extra] = Array.isArray(cell) ? cell : [cell, ""];
    return el("td", { class: `${columns[index][1] ?? ""} ${extra ?? ""}`.trim() || null }, content);
  })));
  return el("table", {}, caption ? el("caption", { class: "sr" }, caption) : null, el("thead", {}, head), el("tbody", {}, ...body));
}

// Makes `wanted` the children of `place`, in this order, and moves none that stands right: an element that is
// taken out, even to be put back at once, loses the focus.
export function arrange(place, wanted) {
  const kept = new Set(wanted);
  for (const child of [...place.children]) if (!kept.has(child)) child.remove();
  let at = place.firstElementChild;
  for (const one of wanted) {
    if (one === at) at = at.nextElementSibling;
    else place.insertBefore(one, at);
  }
}

// Replaces what is in `place` unless it would look the same, so that focus, selection and scrolling stay.
export function put(place, ...children) {
  const fresh = el("div", {}, ...children);
  if (place.innerHTML === fresh.innerHTML) return;
  const { scrollTop, scrollLeft } = place;
  place.replaceChildren(...fresh.childNodes);
  place.scrollTop = scrollTop;
  place.scrollLeft = scrollLeft;
}
