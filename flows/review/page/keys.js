// The keyboard: one key for each thing, and the list of them.

import * as clip from "./clip.js";
import { decideAndGo } from "./clip.js";
import { undo } from "./decisions.js";
import * as dialogs from "./dialogs.js";
import { emit, make, place } from "./dom.js";
import { edit } from "./fields.js";
import { closeSheet, find, openSheet } from "./filters.js";
import { list } from "./list.js";
import { startPublishing } from "./pending.js";
import * as play from "./player.js";
import { state } from "./state.js";
import * as table from "./table.js";

const STEP_S = 1;

const KEYS = [
  ["Moving"],
  [["j", "ArrowDown"], "next clip", () => table.go(state.at + 1)],
  [["k", "ArrowUp"], "clip before", () => table.go(state.at - 1)],
  [["n"], "next undecided clip", () => table.nextUndecided()],
  [["PageDown"], "a page down", () => table.go(state.at + table.pageOfRows())],
  [["PageUp"], "a page up", () => table.go(state.at - table.pageOfRows())],
  [["Enter"], "open the clip (on narrow screens)", () => emit("opened")],
  [["Home"], "first clip", () => table.go(0)],
  [["End"], "last clip", () => table.go(list.total - 1)],
  ["Listening"],
  [[" "], "play or pause", () => play.toggle()],
  [["x"], "raw or enhanced, at the same place", () => play.switchVersion()],
  [["ArrowLeft"], "a second back", () => play.seek(play.position() - STEP_S)],
  [["ArrowRight"], "a second on", () => play.seek(play.position() + STEP_S)],
  [["0"], "from the beginning", () => play.seek(0)],
  [["l"], "loop", () => play.loop()],
  [["a"], "play what lies around", () => play.playAround()],
  [["p"], "play each clip on arrival", () => clip.autoPlay()],
  ["Deciding"],
  [["y"], "keep", () => decideAndGo("keep")],
  [["r"], "reject, with a reason", () => clip.reject()],
  [["1"], "use raw", () => decideAndGo("use_raw")],
  [["2"], "use enhanced", () => decideAndGo("use_enhanced")],
  [["t"], "correct the text", () => edit("text")],
  [["s"], "correct the speaker", () => edit("speaker")],
  [["c"], "note", () => clip.note()],
  [["u"], "undo", () => undo()],
  [["o"], "go on to the next undecided after deciding, or not", () => clip.setOnward()],
  ["Several clips"],
  [["m"], "mark or unmark", () => table.mark(state.at)],
  [["J"], "mark down to the next", () => table.markTo(state.at + 1)],
  [["K"], "mark up to the one before", () => table.markTo(state.at - 1)],
  [["Escape"], "unmark all, close", () => escape()],
  ["The page"],
  [["/"], "search", () => (place("search").focus(), place("search").select())],
  [["f"], "filters", () => openSheet()],
  [["q"], "order of the list", () => place("sort").focus()],
  [["g c", "g t", "g p", "g a"], "clips, thresholds, pending, agreement", null],
  [["P"], "publish, in Pending", () => state.view === "pending" && startPublishing()],
  [["?"], "these keys", () => help()],
];

const ACTIONS = new Map(KEYS.flatMap(([keys, , action]) => (action ? keys.map((one) => [one, action]) : [])));
const EVERYWHERE = new Set(["?", "u", "P"]);
const VIEWS = { c: "clips", t: "thresholds", p: "pending", a: "agreement" };
const NAMES = { " ": "Space", ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", J: "Shift j", K: "Shift k", P: "Shift p", Escape: "Esc" };
const REPEATED = new Set(["j", "k", "ArrowDown", "ArrowUp", "PageDown", "PageUp", "ArrowLeft", "ArrowRight", "J", "K"]);

export function help() {
  const groups = [];
  for (const [keys, text] of KEYS) {
    if (typeof keys === "string") groups.push(make("dl", { className: "keys" }, make("h3", {}, keys)));
    else groups.at(-1).append(make("div", {}, make("dt", {}, ...keys.map((one) => make("kbd", {}, NAMES[one] ?? one))), make("dd", {}, text)));
  }
  dialogs.tell("Keys", make("div", { className: "key-groups" }, ...groups));
}

function escape() {
  if (table.marks.size) return table.unmarkAll();
  closeSheet();
  clip.close();
}

// ---- what a key means where the focus is ----

const WRITING = "textarea, select, input:not([type=checkbox], [type=range])";

function isTaken(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialogs.isOpen()) return true;
  if (target.matches(WRITING)) {
    if (event.key === "Escape" || (event.key === "Enter" && target.matches("#search, #sort"))) {
      event.preventDefault();
      if (target.matches("#search")) find(event.key === "Escape" ? "" : target.value);
      place("grid").focus({ preventScroll: true });
    }
    return true;
  }
  if (target.matches("input[type=range]") && /^(Arrow|Page|Home|End)/.test(event.key)) return true;
  return [" ", "Enter"].includes(event.key) && target.matches("button:not(#play), summary, input[type=checkbox], a, pre");
}

// What a key is called here, whatever Caps Lock says; where a layout of another script writes something else with it,
// as who corrects texts in that script has, what it writes on a Latin one.
function nameOf({ key, code, shiftKey }) {
  if (key.startsWith("Arrow") && shiftKey) return { ArrowDown: "J", ArrowUp: "K" }[key];
  if (key.length !== 1) return key;
  const isForeign = /(?!\p{Script=Latin})[^\x00-\x7f]/u.test(key);
  const latin = isForeign ? (code === "Slash" ? (shiftKey ? "?" : "/") : /^(?:Key|Digit)(\w)$/.exec(code)?.[1] ?? key) : key;
  return shiftKey ? latin.toUpperCase() : latin.toLowerCase();
}

let isGoing = false; // after g

document.addEventListener("keydown", (event) => {
  if (isTaken(event)) return;
  const name = nameOf(event);
  if (isGoing && name in VIEWS) {
    isGoing = false;
    event.preventDefault();
    emit("go", VIEWS[name]);
    return;
  }
  isGoing = name === "g";
  const action = ACTIONS.get(name);
  if (!action || (state.view !== "clips" && !EVERYWHERE.has(name)) || (event.repeat && !REPEATED.has(name))) return;
  event.preventDefault();
  action();
});

export function startKeys() {
  place("help").onclick = help;
}
