// What narrows the list: facets, ranges of scores, a search; and its order.

import { get } from "./api.js";
import { alarm, button, count, figure, hours, make, on, place, redraw, rest, words } from "./dom.js";
import { brush, scoreOf } from "./histograms.js";
import { refresh } from "./list.js";
import { corpus, isDirected, setFacet, setFilter, setRange, setSort, state } from "./state.js";

const SHORT = 7; // values of a facet before "all"
const LABELS = { verdict: "Verdict", reason: "Reason", speaker: "Speaker", folder: "Folder", chosen: "Version", decided: "Decided" };
const NONE = { verdict: "none", reason: "no reason", speaker: "no speaker", folder: "top folder", chosen: "none", decided: "undecided" };

const opened = new Set(); // facets that show all their values
let facets = {};
let histograms = {};
let isOpen = false; // all scores

// ---- facets and histograms ----

let generation = 0;

async function ask() {
  const now = (generation += 1);
  try {
    const filter = { filter: state.filter };
    const [values, scores] = await Promise.all([get("facets", filter), get("histograms", { ...filter, bins: 40 })]);
    if (now !== generation) return;
    [facets, histograms] = [values, scores];
    place("speakers").replaceChildren(...(facets.speaker?.values ?? []).filter(({ value }) => value).map(({ value }) => make("option", { value })));
    drawFilters();
  } catch (error) {
    if (now === generation) alarm(error, ask);
  }
}

function drawFilters() {
  redraw(
    place("filters"),
    make("div", { className: "sheet-head" }, make("h2", {}, "Filters"), button("Done", closeSheet, { className: "plain" })),
    ...corpus.facets.filter((name) => facets[name]).map(drawFacet),
    drawScores(),
  );
}

function drawFacet(name) {
  const chosen = state.filter.is?.[name] ?? [];
  const { values: found, count: known } = facets[name];
  const missing = chosen.filter((value) => !found.some((one) => one.value === value));
  const all = [...found, ...missing.map((value) => ({ value, clips: 0, hours: 0 }))];
  const seen = opened.has(name) ? all : all.filter((one, at) => at < SHORT || chosen.includes(one.value));
  const box = make("fieldset", { className: "facet" }, make("legend", {}, LABELS[name] ?? name));
  for (const one of seen) box.append(drawValue(name, one, chosen));
  if (all.length > seen.length || opened.has(name)) {
    const toggle = () => {
      if (!opened.delete(name)) opened.add(name);
      drawFilters();
    };
    const more = button(opened.has(name) ? "fewer" : known > found.length ? `${all.length} of ${count(known)}` : `all ${all.length}`, toggle, { className: "link" });
    more.dataset.key = `more-${name}`;
    box.append(more);
  }
  if (opened.has(name) && known > found.length) {
    box.append(make("p", { className: "note" }, `The ${found.length} most frequent of ${count(known)}. The search finds the others.`));
  }
  return box;
}

function drawValue(name, { value, clips, hours: length }, chosen) {
  const input = make("input", { type: "checkbox", checked: chosen.includes(value) });
  input.dataset.key = `${name}=${value}`;
  input.onchange = () => setFacet(name, input.checked ? [...chosen, value] : chosen.filter((one) => one !== value));
  const shown = value === "" ? make("i", {}, NONE[name] ?? "none") : words(value);
  return make("label", { title: hours(length) }, input, shown, make("span", { className: "muted" }, count(clips)));
}

function drawScores() {
  const found = corpus.scores.filter((score) => histograms[score.name]?.edges?.length > 1);
  const isFirst = (score) => score.threshold !== null || state.filter.ranges?.[score.name];
  const first = found.filter(isFirst);
  const others = found.filter((score) => !isFirst(score));
  const more = make("details", { open: isOpen }, make("summary", {}, `${others.length} other scores`));
  more.ontoggle = () => (isOpen = more.open);
  more.append(...others.map((score) => brush(score, histograms[score.name])));
  const hint = make("p", { className: "note" }, "Draw over a histogram to keep a range; click it to drop the range.");
  return make("section", { className: "scores" }, make("h3", {}, "Scores"), hint, ...first.map((score) => brush(score, histograms[score.name])), others.length && more);
}

// ---- search and order ----

const search = make("input", { type: "search", id: "search", placeholder: "Search texts and names", "aria-label": "Search texts and names" });
search.oninput = rest(() => find(search.value), 250);

const sort = make("select", { id: "sort", "aria-label": "Order" });
sort.onchange = () => setSort({ sort: sort.value });
const direction = button("", () => setSort({ descending: !state.descending }), { className: "icon", id: "direction" });
const seed = make("input", { type: "number", id: "seed", min: 0, step: 1, "aria-label": "Seed of the random order", title: "Seed: the same gives the same order" });
seed.onchange = () => setSort({ seed: Math.max(Math.round(Number(seed.value)) || 0, 0) });

const ORDERS = [
  ["clip_id", "Name"],
  ["duration_s", "Length"],
  ["nearest", "Nearest to threshold"],
  ["changed", "Changed most by enhancement"],
  ["random", "Random sample"],
];

export function find(text) {
  search.value = text;
  if (text.trim() !== (state.filter.search ?? "")) setFilter({ search: text.trim() });
}

function drawTools() {
  const option = ([value, text]) => make("option", { value }, text);
  sort.replaceChildren(...ORDERS.map(option), make("optgroup", { label: "Scores" }, ...corpus.scores.map((score) => option([score.name, score.label]))));
  sort.value = state.sort;
  direction.textContent = state.descending ? "↓" : "↑";
  direction.setAttribute("aria-label", state.descending ? "Largest first; reverse" : "Smallest first; reverse");
  direction.hidden = !isDirected();
  seed.hidden = state.sort !== "random";
  seed.value = state.seed;
  if (document.activeElement !== search) search.value = state.filter.search ?? "";
  drawChips();
}

function drawChips() {
  const { is = {}, ranges = {}, search: said, moved } = state.filter;
  const chip = (text, remove, ...more) => button("", remove, { className: "chip", title: "Remove this filter" }, ...more);
  const chips = [];
  const add = (label, value, remove) => {
    const one = chip("", remove);
    one.append(make("span", { className: "muted" }, `${label} `), value, make("span", { "aria-label": "remove" }, " ×"));
    chips.push(one);
  };
  for (const [name, values] of Object.entries(is)) {
    for (const value of values) {
      add(LABELS[name] ?? name, value === "" ? NONE[name] ?? "none" : words(value), () => setFacet(name, values.filter((one) => one !== value)));
    }
  }
  for (const [name, [from, to]] of Object.entries(ranges)) {
    add(scoreOf(name)?.label ?? name, `${figure(from)} – ${figure(to)}`, () => setRange(name, null));
  }
  if (said) add("Search", words(said), () => ((search.value = ""), setFilter({ search: "" })));
  if (moved) add("Between", "old and new thresholds", () => setFilter({ moved: null }));
  if (chips.length > 1) chips.push(button("Clear all", clearAll, { className: "link" }));
  redraw(place("chips"), ...chips);
}

function clearAll() {
  search.value = "";
  setFilter({ is: null, ranges: null, search: "", moved: null });
}

// ---- narrow screens: filters in a sheet of their own ----

export function openSheet() {
  document.body.classList.add("filtering");
  place("filters").querySelector("label input")?.focus();
}

export const closeSheet = () => document.body.classList.remove("filtering");

export function startFilters() {
  const open = button("Filters", openSheet, { id: "open-filters", className: "plain" });
  const again = button("↻", () => (refresh(), ask()), { className: "icon", title: "Read the list anew", "aria-label": "Read the list anew" });
  place("tools").append(search, sort, direction, seed, again, open);
  drawTools();
  ask();
}

const later = rest(ask, 120);
on("filter", () => (drawTools(), later()));
on("sort", drawTools);
on("decided", rest(ask, 1500));
on("version", () => (drawTools(), ask()));
