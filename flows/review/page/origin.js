// Where a clip was cut from: the recording as a line, with its neighbours to look at, and what lies around it to hear.

import { button, make, on, seconds, words } from "./dom.js";
import { playAround, player } from "./player.js";

export function origin(detail, open) {
  const { offset_s: from, end_s: to, neighbours = [] } = detail;
  const section = make("section", { className: "origin" }, make("h3", {}, "Where it was cut from"));
  if (from === null || from === undefined) return section;
  const whole = Math.max(detail.recording_s ?? 0, to ?? 0, ...neighbours.map((one) => one.end_s ?? 0));
  const removed = detail.removed > 0 ? `, ${seconds(detail.removed)} of pauses taken out` : "";
  section.append(make("p", { className: "note" }, words(detail.source), `, ${seconds(from)} to ${seconds(to)}${removed}`));
  const strip = make("div", { className: "strip" });
  const piece = (one, isThis) => {
    const part = button("", () => open(one.clip_id), {
      className: `piece ${one.verdict ?? ""}${isThis ? " this" : ""}`,
      disabled: isThis,
      title: `${one.clip_id}, ${seconds(one.offset_s)} to ${seconds(one.end_s)}, ${one.verdict}`,
      "aria-label": `${isThis ? "this clip" : one.clip_id}, ${one.verdict}`,
    });
    part.style.left = `${(one.offset_s / whole) * 100}%`;
    part.style.width = `${Math.max(((one.end_s - one.offset_s) / whole) * 100, 0.4)}%`;
    return part;
  };
  const others = neighbours.filter((one) => one.clip_id !== detail.clip_id);
  strip.append(...others.map((one) => piece(one, false)), piece({ ...detail }, true));
  section.append(strip);
  const around = button("Play what lies around", playAround, { shortcut: "a", id: "around", className: "plain", disabled: !detail.around });
  if (!detail.around) around.title = "The recording is not where the run read it.";
  const before = others.filter((one) => one.offset_s < from).at(-1);
  const after = others.find((one) => one.offset_s > from);
  section.append(
    make(
      "div",
      { className: "row-of-buttons" },
      around,
      before && button("‹ clip before", () => open(before.clip_id), { className: "plain" }),
      after && button("clip after ›", () => open(after.clip_id), { className: "plain" }),
    ),
  );
  return section;
}

on("player", () => {
  const around = document.getElementById("around");
  if (!around) return;
  around.firstChild.data = player.isAround ? "Stop" : "Play what lies around";
  around.setAttribute("aria-pressed", player.isAround);
});
