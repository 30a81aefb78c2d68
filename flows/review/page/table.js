// The table of clips: as many rows as are seen, however many there are; a cursor, and marks for several at once.

import { count, emit, figure, hours, make, on, place, plural, seconds, words } from "./dom.js";
import { indexOf, list, refresh, row, rowAt, want } from "./list.js";
import { corpus, remember, state } from "./state.js";

const ROW = 52; // CSS pixels, as in review.css
const TALLEST = 6_000_000; // CSS pixels; browsers draw nothing below some 17 million

export const marks = new Map(); // clip id -> row
let anchor = 0; // where a range of marks begins

const grid = place("grid");
const layer = place("rows");

// ---- what is drawn ----

// Returns the first row that is seen, a fraction; in a list too tall for the browser the way is scaled.
function firstSeen() {
  const way = layer.clientHeight - inside();
  if (layer.clientHeight === list.total * ROW || way <= 0) return grid.scrollTop / ROW;
  return (grid.scrollTop / way) * (list.total - inside() / ROW);
}

const inside = () => Math.max(grid.clientHeight - place("head").offsetHeight, ROW);

let last = { first: 0, top: 0, inside: 0 }; // what was seen when the rows were last drawn

// When a bar comes or goes above the grid, or the window is resized, the same rows are seen, and the cursor if it was.
function hold() {
  if (inside() === last.inside || grid.scrollTop !== last.top) return;
  const wasSeen = last.first <= state.at && state.at < last.first + last.inside / ROW;
  scrollTo(last.first);
  last = { first: firstSeen(), top: grid.scrollTop, inside: inside() };
  if (wasSeen) show(state.at);
}

function drawRows() {
  const tall = `${Math.min(list.total * ROW, TALLEST)}px`;
  if (layer.style.height !== tall) layer.style.height = tall;
  hold();
  const first = firstSeen();
  last = { first, top: grid.scrollTop, inside: inside() };
  const from = Math.max(Math.floor(first) - 4, 0);
  const to = Math.min(Math.ceil(first + inside() / ROW) + 4, list.total);
  const drawn = [];
  for (let index = from; index < to; index += 1) {
    const element = drawRow(index, want(index));
    element.style.top = `${grid.scrollTop + (index - first) * ROW}px`;
    drawn.push(element);
  }
  layer.replaceChildren(...drawn);
  if (!list.total && !list.isLoading) layer.append(make("p", { className: "empty" }, "No clip matches these filters."));
  grid.setAttribute("aria-rowcount", list.total + 1);
  grid.setAttribute("aria-activedescendant", from <= state.at && state.at < to ? `row-${state.at}` : "");
  grid.setAttribute("aria-busy", list.isLoading);
}

export const decidedWords = (decided) => (decided?.words ?? "").replaceAll("_", " ");

// A clip that is shown need not be in the list: a link led to it, or it has left the filter.
const isCursor = (index, one) => index === state.at && (!one || !state.clip || one.clip_id === state.clip);

const cell = (className, ...children) => make("span", { className, role: "gridcell" }, ...children);

function drawRow(index, one) {
  const isMarked = one && marks.has(one.clip_id);
  const element = make("div", {
    id: `row-${index}`,
    role: "row",
    className: `row${isCursor(index, one) ? " cursor" : ""}${isMarked ? " marked" : ""}`,
    "aria-rowindex": index + 2,
    "aria-selected": String(Boolean(isMarked)),
  });
  element.dataset.index = index;
  if (!one) {
    element.append(cell("wait", "…"));
    return element;
  }
  const said = decidedWords(one.decided);
  const text = one.text ? words(one.text) : make("i", { className: "muted" }, "no text");
  element.append(
    cell("mark", make("i", { "aria-hidden": "true" })),
    cell("end", make("b", { className: `badge ${one.verdict}` }, one.verdict), words(one.reason || one.chosen || "", "muted")),
    cell("name", words(one.clip_id, "id"), make("span", { className: "text" }, said && make("b", { className: "decided inline" }, said), text)),
    cell("who", words(one.speaker)),
    cell("length", seconds(one.duration_s)),
    cell("value", valueOf(one)),
    cell("said", said && make("b", { className: "decided" }, said)),
  );
  return element;
}

// What the list is sorted by, or the overall score.
function valueOf(one) {
  if (state.sort === "nearest") return figure(one.nearness);
  if (state.sort === "changed") return figure(one.change);
  return figure(one.scores?.[shownScore()]);
}

function shownScore() {
  const names = corpus.scores.map((score) => score.name);
  return [state.sort, "dnsmos_ovrl", names[0]].find((name) => names.includes(name));
}

export function valueLabel() {
  if (state.sort === "nearest") return "Nearness";
  if (state.sort === "changed") return "Change";
  const name = shownScore();
  return corpus.scores.find((score) => score.name === name)?.label.replace("DNSMOS ", "") ?? "";
}

function drawHead() {
  const heads = [["mark", ""], ["end", "Verdict"], ["name", "Clip"], ["who", "Speaker"], ["length", "Length"]];
  heads.push(["value", valueLabel()], ["said", "Decided"]);
  place("head").replaceChildren(
    ...heads.map(([className, text]) => make("span", { className, role: "columnheader", title: text }, text)),
  );
}

function drawCount() {
  const said = `${plural(list.total, "clip")}, ${hours(list.hours)}, of which ${hours(list.kept_hours)} kept`;
  place("count").textContent = list.isLoading ? "…" : said;
}

function drawMarked() {
  const bar = place("marked");
  bar.hidden = !marks.size;
  const length = [...marks.values()].reduce((sum, one) => sum + (one.duration_s ?? 0), 0);
  bar.replaceChildren(
    make("b", {}, `${plural(marks.size, "clip")} marked`),
    make("span", { className: "muted" }, `${hours(length / 3600)}; decisions are over all of them`),
    make("button", { type: "button", onclick: unmarkAll }, "Clear ", make("kbd", {}, "Esc")),
  );
}

// ---- cursor ----

function scrollTo(first) {
  const way = layer.clientHeight - inside();
  const isScaled = layer.clientHeight !== list.total * ROW;
  grid.scrollTop = isScaled ? (first / (list.total - inside() / ROW)) * way : first * ROW;
}

function show(index) {
  hold();
  const first = firstSeen();
  const rows = Math.max(Math.floor(inside() / ROW), 1);
  let to = null;
  if (index < first) to = index;
  else if (index + 1 > first + rows) to = index + 1 - rows;
  if (to !== null) scrollTo(to);
}

// Moves the cursor; the clip is shown as soon as its row is there.
export async function go(index, { isStep = false } = {}) {
  if (!list.total) return;
  const at = Math.min(Math.max(index, 0), list.total - 1);
  remember({ at, clip: row(at)?.clip_id ?? null }); // nobody decides over a clip that is not shown yet
  if (!isStep) anchor = at;
  show(at);
  drawRows();
  const one = await rowAt(at).catch(() => null);
  if (!one || state.at !== at || list.isLoading) return;
  remember({ clip: one.clip_id });
  drawRows();
  emit("clip", one);
}

export const pageOfRows = () => Math.max(Math.floor(inside() / ROW) - 1, 1);

export async function nextUndecided() {
  for (let at = state.at + 1; at < list.total && at < state.at + 5000; at += 1) {
    const one = row(at) ?? (await rowAt(at).catch(() => null));
    if (!one) return;
    if (!decidedWords(one.decided)) return go(at);
  }
  emit("nothing", "There is no undecided clip further down.");
}

// ---- marks ----

export function mark(index, isMarked = null) {
  const one = row(index);
  if (!one) return;
  if (isMarked ?? !marks.has(one.clip_id)) marks.set(one.clip_id, one);
  else marks.delete(one.clip_id);
  anchor = index;
  drawRows();
  drawMarked();
  emit("marks");
}

// Marks all rows from where marking began to this one; the cursor is there then.
export async function markTo(index) {
  const at = Math.min(Math.max(index, 0), list.total - 1);
  const [from, to] = [Math.min(anchor, at), Math.max(anchor, at)];
  for (let one = from; one <= to; one += 1) {
    const found = await rowAt(one).catch(() => null);
    if (found) marks.set(found.clip_id, found);
  }
  drawMarked();
  emit("marks");
  await go(at, { isStep: true });
}

export function unmarkAll() {
  marks.clear();
  drawRows();
  drawMarked();
  emit("marks");
}

// ---- start ----

grid.addEventListener("scroll", () => requestAnimationFrame(drawRows));
new ResizeObserver(drawRows).observe(grid);

layer.addEventListener("click", (event) => {
  const element = event.target.closest(".row");
  if (!element) return;
  const index = Number(element.dataset.index);
  if (event.shiftKey) return markTo(index);
  if (event.target.closest(".mark") || event.ctrlKey || event.metaKey) return mark(index);
  go(index);
  emit("opened");
});

on("loading", () => {
  drawCount();
  grid.setAttribute("aria-busy", list.isLoading);
});
on("list", () => {
  drawHead();
  drawCount();
  drawRows();
  const at = state.clip === null ? -1 : indexOf(state.clip, state.at);
  if (at >= 0) state.at = at;
  else if (state.clip !== null && row(state.at)) state.at -= 1; // the next is the one that took its place
  show(state.at);
  drawRows();
  if (!list.total) return;
  if (state.clip === null) go(Math.max(state.at, 0));
  else emit("clip", row(at) ?? { clip_id: state.clip });
});
on("rows", () => {
  for (const clipId of marks.keys()) {
    const found = row(indexOf(clipId));
    if (found) marks.set(clipId, found);
  }
  drawRows();
});
for (const name of ["filter", "sort"]) {
  on(name, () => {
    marks.clear();
    drawMarked();
    grid.scrollTop = 0;
    refresh();
  });
}
