// Text and speaker of the clip that is shown, corrected in place.

import { decide, targets } from "./decisions.js";
import { ask } from "./dialogs.js";
import { key, make, place, redraw, words } from "./dom.js";

export const overWhat = () => (targets().length > 1 ? `${targets().length} clips` : "this clip");

const isCorrected = (detail, name) => Boolean(detail.decided?.corrected?.includes(name));
const given = (detail, name) => (isCorrected(detail, name) ? detail.decided[name] : detail[name]) ?? "";

export function drawFields(detail) {
  const held = document.activeElement;
  if (place("fields").contains(held) && held.matches("input, textarea") && held.value !== held.dataset.given) return;
  const text = make("textarea", { id: "text", rows: 2, value: given(detail, "text"), placeholder: "no text", spellcheck: true });
  const speaker = make("input", { id: "speaker", type: "text", value: given(detail, "speaker"), placeholder: "no speaker", autocomplete: "off", list: "speakers" });
  speaker.setAttribute("list", "speakers");
  for (const [field, what] of [[text, "text"], [speaker, "speaker"]]) startField(detail, field, what);
  const was = (name) => isCorrected(detail, name) && make("span", { className: "note was" }, "was: ", !detail[name] ? "none" : words(detail[name]));
  redraw(
    place("fields"),
    make("label", { className: "field" }, make("span", {}, "Text ", key("t")), text, was("text")),
    make("label", { className: "field" }, make("span", {}, "Speaker ", key("s")), speaker, was("speaker")),
    detail.asr_text && make("p", { className: "note" }, "Heard by the recogniser: ", words(detail.asr_text)),
    detail.recording_text && !detail.text && make("details", {}, make("summary", {}, "Text of the whole recording"), words(detail.recording_text)),
  );
}

// Somebody may write already when the rest of the clip arrives: what is written is put back, and not stored half.
export function draft(detail) {
  const held = document.activeElement;
  if (!held.matches("#text, #speaker") || held.dataset.clip !== detail.clip_id) return () => {};
  const { id, value, selectionStart: at } = held;
  held.onblur = null;
  return () => {
    place(id).value = value;
    place(id).focus();
    place(id).setSelectionRange(at, at);
  };
}

// Enter and leaving the field save; Esc puts back what was there.
function startField(detail, field, what) {
  const clipId = detail.clip_id;
  const before = field.value;
  field.dataset.key = what;
  field.dataset.clip = clipId;
  field.dataset.given = before;
  field.onkeydown = (event) => {
    if (event.key === "Escape") {
      field.value = before;
      field.blur();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      field.blur();
    } else return;
    event.stopPropagation();
    place("grid").focus({ preventScroll: true });
  };
  field.onblur = () => {
    const value = field.value.replace(/\s+/g, " ").trim();
    if (value === before || field.value === before) return;
    field.dataset.given = field.value;
    decide(what, value || null, [clipId]);
  };
}

// What is written and not saved is stored nowhere: the browser asks before the page is closed.
addEventListener("beforeunload", (event) => {
  const held = document.activeElement;
  if (held?.matches("[data-given]") && held.value !== held.dataset.given) event.preventDefault();
});

export async function edit(what) {
  if (what === "speaker" && targets().length > 1) {
    const said = await ask(`The speaker of ${overWhat()}`, { label: "Speaker (empty: none)", list: "speakers" });
    if (said !== null) decide("speaker", said || null);
    return;
  }
  place(what)?.focus();
  place(what)?.select();
}
