// One clip: listen, see, decide.

import { clipAddress, get, json } from "./api.js";
import { ask } from "./dialogs.js";
import { alarm, button, emit, make, on, place, redraw, rest, words } from "./dom.js";
import { decide, saving, targets, undo, undoOne } from "./decisions.js";
import { draft, drawFields, overWhat } from "./fields.js";
import { indexOf, list, row } from "./list.js";
import { origin } from "./origin.js";
import { forget, pictures } from "./pictures.js";
import * as play from "./player.js";
import { scoreTable, spansOf } from "./scores.js";
import { corpus, remember, state, store, stored } from "./state.js";
import { decidedWords, go, marks, nextUndecided } from "./table.js";

const pane = place("clip");
export const habits = { isAuto: stored("auto", false), isOnward: stored("onward", false) };

let detail = null;
let spans = {};
let stopping = new AbortController();

// ---- which clip ----

// Shows what is known of a row at once, and the rest when the cursor rests on it.
function begin(one) {
  stopping.abort();
  play.leave();
  forget();
  detail = { ...one };
  drawPane();
  if (one.clip_id) load(one.clip_id);
}

const load = rest(async (clipId) => {
  stopping = new AbortController();
  try {
    const found = await json(clipAddress(clipId), { signal: stopping.signal });
    if (state.clip !== clipId) return;
    detail = found;
    play.take(found);
    drawPane();
    if (habits.isAuto && navigator.userActivation?.hasBeenActive !== false) play.play();
  } catch (error) {
    if (error.name !== "AbortError" && state.clip === clipId) alarm(error, () => load(clipId));
  }
}, 70);

// Decisions and history anew; the sound goes on.
const renew = rest(async () => {
  const clipId = state.clip;
  if (!clipId || !detail?.versions) return;
  try {
    const found = await json(clipAddress(clipId));
    if (state.clip !== clipId) return;
    detail = found;
    drawDecision();
    drawHistory();
    drawFields(detail);
  } catch (error) {
    alarm(error);
  }
}, 50);

// On a narrow screen the clip stands in place of the list.
function setOpen(isOpen) {
  if (state.open !== isOpen) remember({ open: isOpen });
  document.body.classList.toggle("reading", isOpen);
}

export function close() {
  setOpen(false);
  place("grid").focus({ preventScroll: true });
}

export function open(clipId) {
  const at = indexOf(clipId, state.at);
  if (at >= 0) return go(at);
  remember({ clip: clipId });
  begin({ clip_id: clipId });
}

// ---- the pane ----

function drawPane() {
  if (!detail?.clip_id) {
    pane.setAttribute("aria-busy", list.isLoading || list.total > 0);
    pane.replaceChildren(list.total ? "" : make("p", { className: "empty" }, "No clip to show."));
    return;
  }
  const isThere = Boolean(detail.versions);
  const putBack = draft(detail);
  redraw(
    pane,
    drawTitle(),
    isThere && drawPlayer(),
    make("div", { id: "decision" }),
    make("div", { id: "fields" }),
    isThere && section("Scores", scoreTable(detail, spans)),
    isThere && origin(detail, open),
    make("section", { id: "history" }),
  );
  pane.setAttribute("aria-busy", !isThere);
  drawDecision();
  drawFields(detail);
  drawHistory();
  putBack();
  emit("player"); // the waveform is painted once it has a place
}

const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);

const habit = (id, label, shortcut, action, checked = false) =>
  make("label", { className: "habit" }, make("input", { type: "checkbox", id, checked, onchange: action }), label, make("kbd", {}, shortcut));

function drawTitle() {
  const back = button("‹ Back", close, { className: "plain back" });
  const why = detail.detail || detail.chosen_why;
  return make(
    "div",
    { className: "title" },
    back,
    make("h2", {}, words(detail.clip_id)),
    make(
      "p",
      {},
      detail.verdict && make("b", { className: `badge ${detail.verdict}` }, detail.verdict),
      detail.reason && words(` ${detail.reason}`, "reason"),
      detail.chosen && make("span", { className: "muted" }, ` ${detail.chosen} version`),
      why && words(why, "why"),
    ),
  );
}

function drawPlayer() {
  const there = play.VERSIONS.filter((version) => detail.versions[version]?.available);
  if (!there.length) {
    const gone = "What the run left of it in work/ is gone; `clean-corpus run` on the same INPUT makes it anew.";
    return make("p", { className: "empty" }, detail.verdict === "failed" ? "It failed, so there is no audio." : gone);
  }
  const choice = there.map((version) => {
    const one = button(version, () => play.listenTo(version), { className: version, role: "radio" });
    one.dataset.version = version;
    return one;
  });
  const heardGroup = make("div", { className: "ab", role: "radiogroup", "aria-label": "Version that is heard" }, ...choice, make("kbd", {}, "x"));
  return make(
    "section",
    { id: "listen", "aria-label": "Listen" },
    make(
      "div",
      { className: "transport" },
      button("Play", play.toggle, { id: "play", className: "main", shortcut: "Space" }),
      heardGroup,
      make("output", { id: "clock" }),
      habit("loop", "loop", "l", play.loop),
    ),
    pictures(detail),
  );
}

function drawPlaying() {
  const main = place("play");
  if (!main) return;
  main.firstChild.data = play.player.isPlaying && !play.player.isAround ? "Pause" : "Play";
  for (const one of pane.querySelectorAll(".ab [data-version]")) one.setAttribute("aria-checked", one.dataset.version === play.player.version);
  place("loop").checked = play.player.isLooped;
}

export function autoPlay() {
  habits.isAuto = !habits.isAuto;
  store("auto", habits.isAuto);
  drawDecision();
}

// ---- deciding ----

const STATES = { saving: "saving …", saved: "saved", failed: "not saved" };

function drawDecision() {
  if (!place("decision")) return;
  const one = detail;
  const said = decidedWords(one.decided);
  const act = (what, label, shortcut, action) => {
    const isChosen = !marks.size && isDecided(one.decided, what);
    const made = button(label, action, { shortcut, className: `decide ${what}`, "aria-pressed": String(isChosen) });
    made.dataset.key = what;
    return made;
  };
  const kept = saving.get(one.clip_id);
  const standing = make("p", { className: "standing", "aria-live": "polite" });
  standing.append(make("span", {}, said ? "Decided: " : "Nothing decided."), said && make("b", {}, said));
  if (one.decided?.why) standing.append(": ", words(one.decided.why));
  if (one.decided?.by) standing.append(" by ", words(one.decided.by));
  if (kept) standing.append(make("span", { className: `state ${kept}`, id: "saved" }, STATES[kept]));
  if (one.decided?.note) standing.append(words(one.decided.note, "quoted"));
  redraw(
    place("decision"),
    marks.size > 1 && make("p", { className: "over" }, `Over ${marks.size} marked clips:`),
    make(
      "div",
      { className: "row-of-buttons" },
      act("keep", "Keep", "y", () => decideAndGo("keep")),
      act("reject", "Reject", "r", reject),
      act("use_raw", "Use raw", "1", () => decideAndGo("use_raw")),
      act("use_enhanced", "Use enhanced", "2", () => decideAndGo("use_enhanced")),
      act("note", "Note", "c", note),
    ),
    make("div", { className: "row-of-buttons" }, standing, act("undo", "Undo", "u", undo)),
    make(
      "div",
      { className: "habits" },
      habit("auto", "play on arrival", "p", autoPlay, habits.isAuto),
      habit("onward", "go on after deciding", "o", setOnward, habits.isOnward),
    ),
  );
}

function isDecided(decided, what) {
  if (!decided) return false;
  if (what.startsWith("use_")) return decided.chosen === what.slice(4) && decided.verdict !== "reject";
  if (what === "note") return Boolean(decided.note);
  return decided.verdict === what && !(what === "keep" && decided.chosen);
}

export function setOnward() {
  habits.isOnward = !habits.isOnward;
  store("onward", habits.isOnward);
  drawDecision();
}

export function decideAndGo(what, value = null) {
  const isOne = !marks.size;
  const done = decide(what, value);
  if (isOne && habits.isOnward) nextUndecided();
  return done;
}

export async function reject() {
  if (!targets().length) return;
  const reasons = stored("reasons", []);
  place("reasons").replaceChildren(...reasons.map((value) => make("option", { value })));
  const said = await ask(`Reject ${overWhat()}`, { label: "Why (may be left empty)", list: "reasons", send: "Reject" });
  if (said === null) return;
  if (said) store("reasons", [said, ...reasons.filter((one) => one !== said)].slice(0, 12));
  decideAndGo("reject", said || null);
}

export async function note() {
  if (!targets().length) return;
  const value = targets().length === 1 ? detail.decided?.note ?? "" : "";
  const said = await ask(`A note on ${overWhat()}`, { label: "Note", value });
  if (said !== null) decide("note", said);
}

// ---- history ----

function drawHistory() {
  const made = (detail.decisions ?? []).filter((one) => one.what !== "undo");
  const lines = made.map((one) => {
    const isUndone = !one.stands;
    const isEmptied = ["text", "speaker", "note"].includes(one.what) && !one.value;
    const value = isEmptied ? ": none" : one.value ? words(`: ${one.value}`) : "";
    const back = button("undo", () => undoOne(detail.clip_id, one.id), { className: "link" });
    back.dataset.key = one.id;
    const line = make("li", { className: isUndone ? "undone" : "" }, make("b", {}, one.what.replace("_", " ")), value, " ");
    line.append(make("span", { className: "muted" }, words(one.by), ` ${new Date(one.at).toLocaleString()} `), isUndone ? make("i", { className: "muted" }, "undone") : back);
    return line;
  });
  redraw(place("history"), lines.length > 0 && make("h3", {}, "Decisions"), lines.length > 0 && make("ol", {}, ...lines));
}

// ---- what happens elsewhere ----

on("clip", (one) => {
  if (detail?.clip_id === one.clip_id && detail?.versions) return;
  begin(one);
});
on("player", drawPlaying);
on("marks", () => detail && drawDecision());
on("saving", () => detail && drawDecision());
on("opened", () => setOpen(true));
on("address", () => setOpen(state.open));
on("decided", () => {
  const found = row(indexOf(state.clip, state.at));
  if (found && detail?.clip_id === found.clip_id) detail = { ...detail, decided: found.decided };
  if (detail) drawDecision();
  renew();
});
for (const name of ["filter", "sort"]) on(name, () => begin({}));
on("list", () => list.total || begin({}));

on("version", () => (detail = null)); // the list, read anew, brings it

export async function startClip() {
  setOpen(state.open);
  drawPane();
  await measure();
  on("version", measure);
}

// What the lines of scores are drawn over: the whole corpus, whatever the filter.
async function measure() {
  try {
    spans = spansOf(await get("histograms", { filter: {}, bins: 40 }));
    if (detail?.versions && corpus.scores.length) drawPane();
  } catch (error) {
    alarm(error);
  }
  emit("measured");
}
