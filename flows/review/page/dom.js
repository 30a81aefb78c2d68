// Elements, numbers and words. Whatever comes from a corpus goes in as text, never as markup.

export const place = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list" && name !== "role") element[name] = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A name or text of the corpus: its own direction of writing, whatever characters it holds.
export const words = (text, className = "") => make("bdi", { className }, text ?? "");
export const key = (text) => make("kbd", {}, text);

export function button(text, action, { shortcut = null, className = "", ...more } = {}) {
  return make("button", { type: "button", className, onclick: action, ...more }, text, shortcut && key(shortcut));
}

// A part that is drawn anew keeps the focus where it was, by the data-key of what has it.
export function redraw(container, ...children) {
  const held = container.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  container.replaceChildren(...children.filter(Boolean));
  if (held) [...container.querySelectorAll("[data-key]")].find((element) => element.dataset.key === held)?.focus();
}

// ---- numbers ----

export const count = (n) => (n ?? 0).toLocaleString("en");

// The unit fits the length, and three digits are enough to compare.
export function hours(h) {
  const size = Math.abs(h ?? 0);
  if (size >= 100) return `${count(Math.round(h))} h`;
  if (size >= 1) return `${h.toPrecision(3)} h`;
  const minutes = h * 60;
  if (size * 60 >= 1) return `${minutes.toPrecision(3)} min`;
  return `${(h * 3600).toFixed(1)} s`;
}

export const signed = (h) => `${h > 0 ? "+" : h < 0 ? "−" : "±"}${hours(Math.abs(h))}`;
export const seconds = (s, digits = 1) => (s === null || s === undefined ? "–" : `${s.toFixed(digits)} s`);

export function figure(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return count(Math.round(value));
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size === 0 || size >= 0.1) return value.toFixed(2);
  return value.toPrecision(2);
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// ---- time ----

export function rest(action, ms) {
  let timer = 0;
  return (...said) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...said), ms);
  };
}

// ---- what happened ----

export function alarm(error, again = null) {
  const bar = place("alarm");
  bar.replaceChildren(
    make("span", {}, error?.message ?? String(error)),
    ...(again ? [button("Try again", () => { quiet(); again(); })] : []),
    button("Close", quiet),
  );
  bar.hidden = false;
}

export function quiet() {
  place("alarm").hidden = true;
}

const hideToast = rest(() => (place("toast").hidden = true), 6000);

export function toast(text, ...more) {
  place("toast").replaceChildren(make("span", {}, text), ...more);
  place("toast").hidden = false;
  hideToast();
}

// ---- events between the parts of the page ----

const listeners = {};
export const on = (name, action) => (listeners[name] ??= []).push(action);
export const emit = (name, said) => (listeners[name] ?? []).forEach((action) => action(said));
