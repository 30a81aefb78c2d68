// One dialog: a question with a field, a yes or no, or a text to read. Esc closes it.

import { button, make, place } from "./dom.js";

const dialog = place("dialog");

function show(...children) {
  dialog.replaceChildren(...children);
  dialog.showModal();
  return new Promise((done) => {
    dialog.onclose = () => done(dialog.returnValue || null);
  });
}

function close(value = "") {
  dialog.close(value);
}

// Asks for a line; null if the person thought better of it. An empty line is an answer.
export async function ask(title, { label, value = "", list = null, hint = "", send = "Save" }) {
  const field = make("input", { type: "text", value, id: "answer", autocomplete: "off", ...(list ? { list } : {}) });
  field.setAttribute("list", list ?? "");
  field.dataset.given = value;
  const form = make(
    "form",
    { method: "dialog", onsubmit: (event) => (event.preventDefault(), close("yes")) },
    make("h2", {}, title),
    make("label", { className: "field" }, label, field),
    hint && make("p", { className: "note" }, hint),
    make("div", { className: "row-of-buttons end" }, button("Cancel", () => close(), { shortcut: "Esc" }), make("button", { type: "submit", className: "main" }, send)),
  );
  dialog.returnValue = "";
  const ending = show(form);
  field.select();
  return (await ending) === "yes" ? field.value.trim() : null;
}

export async function confirm(title, text, yes, ...more) {
  dialog.returnValue = "";
  const main = button(yes, () => close("yes"), { className: "main" });
  const ending = show(make("h2", {}, title), make("p", {}, text), ...more, make("div", { className: "row-of-buttons end" }, button("Cancel", () => close(), { shortcut: "Esc" }), main));
  main.focus();
  return (await ending) === "yes";
}

export function tell(title, ...children) {
  dialog.returnValue = "";
  const shut = button("Close", () => close(), { shortcut: "Esc" });
  show(make("h2", {}, title), ...children, make("div", { className: "row-of-buttons end" }, shut));
  shut.focus();
}

export const isOpen = () => dialog.open;
