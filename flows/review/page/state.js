// What the page shows, kept in the address's fragment, so that a reload comes back to the same place.

import { emit } from "./dom.js";

export const VIEWS = { clips: "Clips", thresholds: "Thresholds", pending: "Pending", agreement: "Agreement" };

const START = { view: "clips", filter: {}, sort: "clip_id", descending: false, seed: 1, clip: null, at: 0, open: false, moved: {} };
const IS_TEXT = new Set(["view", "sort", "clip"]);
const NAMES = Object.keys(START);

export const state = structuredClone(START);
export const corpus = { scores: [], facets: [], reasons: [] };

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isStart = (name, value) => JSON.stringify(value) === JSON.stringify(START[name]);

// An address may have been written by hand: what has not the form of a filter is left out.
function cleanFilter(said) {
  const filter = {};
  if (!isObject(said)) return filter;
  for (const [name, values] of Object.entries(isObject(said.is) ? said.is : {})) {
    if (Array.isArray(values) && values.length) (filter.is ??= {})[name] = values.map(String);
  }
  for (const [name, range] of Object.entries(isObject(said.ranges) ? said.ranges : {})) {
    if (Array.isArray(range) && range.length === 2 && range.every(isNumber)) (filter.ranges ??= {})[name] = range;
  }
  if (typeof said.search === "string" && said.search) filter.search = said.search;
  const moved = cleanMoved(said.moved);
  if (Object.keys(moved).length) filter.moved = moved;
  return filter;
}

const cleanMoved = (said) =>
  Object.fromEntries(Object.entries(isObject(said) ? said : {}).filter(([, value]) => value === null || isNumber(value)));

const CLEAN = {
  filter: cleanFilter,
  moved: cleanMoved,
  view: (said) => (said in VIEWS ? said : START.view),
  at: (said) => (Number.isInteger(said) && said >= -1 ? said : 0),
  seed: (said) => (Number.isInteger(said) ? said : START.seed),
  descending: Boolean,
  open: Boolean,
};

export function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const name of NAMES) {
    let value = structuredClone(START[name]);
    if (said.has(name)) {
      try {
        value = IS_TEXT.has(name) ? said.get(name) : JSON.parse(said.get(name));
      } catch {
        // left as it is at the start
      }
      value = CLEAN[name]?.(value) ?? value;
    }
    state[name] = value;
  }
}

function written() {
  const said = new URLSearchParams();
  for (const name of NAMES) {
    if (!isStart(name, state[name])) said.set(name, IS_TEXT.has(name) ? state[name] : JSON.stringify(state[name]));
  }
  return `#${said}`;
}

// Browsers refuse more than some hundred changes of an address in a few seconds: the first is written at once.
let timer = null;
let isLate = false;

function write() {
  history.replaceState(null, "", written());
  isLate = false;
  timer = setTimeout(() => {
    timer = null;
    if (isLate) write();
  }, 200);
}

export function remember(changes, { step = false } = {}) {
  Object.assign(state, changes);
  if (step) history.pushState(null, "", written());
  else if (timer === null) write();
  else isLate = true;
}

addEventListener("pagehide", () => isLate && history.replaceState(null, "", written()));
addEventListener("popstate", () => {
  readAddress();
  emit("address");
});

// ---- filters ----

export function setFilter(change) {
  const filter = { ...state.filter, ...change };
  for (const [name, value] of Object.entries(filter)) {
    if (!value || (isObject(value) && !Object.keys(value).length)) delete filter[name];
  }
  remember({ filter, at: 0, clip: null });
  emit("filter");
}

export function setFacet(name, values) {
  const is = { ...state.filter.is, [name]: values };
  if (!values.length) delete is[name];
  setFilter({ is });
}

export function setRange(name, range) {
  const ranges = { ...state.filter.ranges, [name]: range };
  if (!range) delete ranges[name];
  setFilter({ ranges });
}

export function setSort(change) {
  remember({ ...change, at: 0, clip: null });
  emit("sort");
}

// Some orders have one direction: the nearest first, and the most changed.
export const isDirected = () => !["random", "nearest", "changed"].includes(state.sort);

// What is asked of the server for the list as it is set.
export const query = () => ({
  filter: state.filter,
  sort: state.sort,
  ...(isDirected() ? { descending: state.descending } : {}),
  ...(state.sort === "random" ? { seed: state.seed } : {}),
});

// ---- what stays between visits, as far as the browser keeps it ----

export function stored(name, otherwise, where = "localStorage") {
  try {
    return JSON.parse(window[where].getItem(`review:${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function store(name, value, where = "localStorage") {
  try {
    window[where].setItem(`review:${name}`, JSON.stringify(value));
  } catch {
    // a browser that keeps nothing: the page works without
  }
}
