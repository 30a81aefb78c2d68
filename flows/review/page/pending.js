// What is decided and not in the version, with its effect in hours; and publishing it.

import { get, post } from "./api.js";
import { confirm } from "./dialogs.js";
import { alarm, button, emit, make, on, place, plural, redraw, rest, signed, toast, words } from "./dom.js";
import { settled } from "./decisions.js";
import { corpus, remember, state } from "./state.js";

const view = place("view-pending");
const MOST = 500; // lines that are drawn
let isPublishing = false;

async function drawPending() {
  await settled();
  try {
    const found = await get("pending");
    if (found.version !== corpus.version) return void emit("published"); // by another reviewer, or a run
    corpus.pending = { clips: found.clips, hours: found.hours };
    emit("standing");
    redraw(view, make("h2", {}, "Pending"), ...(found.changes.length ? full(found) : empty(found)));
  } catch (error) {
    alarm(error, drawPending);
  }
}

function empty(found) {
  return [make("p", { className: "empty" }, `Version ${corpus.version} has all decisions.`), ...left(found)];
}

function full(found) {
  const heads = ["Clip", "Effect", "Kept", "Decided", "By"].map((text) => make("th", { scope: "col", className: text === "Kept" ? "number" : "" }, text));
  const lines = found.changes.slice(0, MOST).map(drawChange);
  const more = found.changes.length - lines.length;
  return [
    make("p", { id: "effect" }, `${plural(found.clips, "clip")} would change, `, make("b", {}, signed(found.hours)), " kept."),
    button(isPublishing ? "Publishing …" : `Publish version ${corpus.version + 1}`, () => publish(found), { className: "main", id: "publish", shortcut: "Shift p", disabled: isPublishing }),
    make("div", { className: "panel wide" }, make("table", { className: "changes" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...lines))),
    more > 0 && make("p", { className: "note" }, `And ${plural(more, "other")}; \`clean-corpus decisions\` lists all.`),
    ...left(found),
  ];
}

function left(found) {
  if (!found.left.length) return [];
  const line = (one) => make("li", {}, words(one.clip_id), ": ", words(one.why));
  return [make("h3", {}, "Without effect"), make("ul", { className: "left" }, ...found.left.slice(0, MOST).map(line))];
}

function drawChange(change) {
  const look = () => {
    remember({ view: "clips", filter: { search: change.clip_id }, clip: change.clip_id, at: 0 }, { step: true });
    emit("address");
  };
  const link = button("", look, { className: "link" });
  link.append(words(change.clip_id));
  return make(
    "tr",
    {},
    make("td", {}, link),
    make("td", {}, ...change.effect.flatMap((one, at) => (at ? [make("br"), words(one)] : [words(one)]))),
    make("td", { className: "number" }, change.hours ? signed(change.hours) : ""),
    make("td", {}, words(change.words.replaceAll("_", " "))),
    make("td", {}, words(change.by ?? "")),
  );
}

async function publish(found) {
  const text = `A new version of the corpus with ${plural(found.clips, "changed clip")}, ${signed(found.hours)} kept. Version ${corpus.version} stays as it is.`;
  if (!(await confirm(`Publish version ${corpus.version + 1}?`, text, "Publish"))) return;
  isPublishing = true;
  drawPending();
  try {
    const done = await post("publish");
    const more = done.left.length ? ` ${plural(done.left.length, "clip")} stay as they are: their audio in work/ is gone; a run makes it anew.` : "";
    toast(`Version ${done.version} is published.${more}`);
    isPublishing = false;
    emit("published");
  } catch (error) {
    alarm(error);
    isPublishing = false;
    drawPending();
  }
}

export const startPublishing = () => document.getElementById("publish")?.click();

for (const name of ["view", "version"]) on(name, () => state.view === "pending" && drawPending());
on("decided", rest(() => state.view === "pending" && drawPending(), 100));
