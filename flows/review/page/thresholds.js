// Thresholds by hand: what would be kept, what lies between, and the settings to take.

import { get, text } from "./api.js";
import { tell } from "./dialogs.js";
import { alarm, button, count, emit, figure, hours, make, on, place, plural, redraw, rest, signed, toast } from "./dom.js";
import { histogram } from "./histograms.js";
import { corpus, remember, state } from "./state.js";

const view = place("view-thresholds");
const STEPS = 200;

let histograms = null;
let generation = 0;

// The scores that settings are over, each setting once.
const movable = () => [...new Map(corpus.scores.filter((score) => score.setting).map((score) => [score.setting, score])).values()];

const valueOf = (score) => (score.setting in state.moved ? state.moved[score.setting] : score.threshold);

function move(score, value) {
  const moved = { ...state.moved, [score.setting]: value };
  if (value === score.threshold) delete moved[score.setting];
  remember({ moved });
  ask();
}

// ---- what they come to ----

const ask = rest(async () => {
  generation += 1;
  const now = generation;
  try {
    const found = await get("thresholds", { moved: state.moved });
    if (now === generation) drawSum(found);
  } catch (error) {
    if (now === generation) alarm(error, ask);
  }
}, 60);

function drawSum(found) {
  const between = found.entering + found.leaving + found.unscored;
  const isMoved = Object.keys(state.moved).length > 0;
  const tile = (label, value, more, id) => make("div", { className: "tile" }, make("dt", {}, label), make("dd", {}, make("b", { id }, value), more));
  redraw(
    place("sum"),
    make(
      "dl",
      { className: "tiles" },
      tile("Kept by this version", hours(found.now_hours), plural(found.now_kept, "clip"), "kept-now"),
      tile("Kept by these thresholds", hours(found.hours), `${plural(found.kept, "clip")}, ${signed(found.hours - found.now_hours)}`, "kept-then"),
      tile("Would come in", count(found.entering), "clips", "entering"),
      tile("Would go out", count(found.leaving), "clips", "leaving"),
    ),
    ...(found.unscored
      ? [make("p", { id: "unscored", className: "note" }, `${plural(found.unscored, "clip")}, ${hours(found.unscored_hours)}, would be scored first: no network has heard what is clipped or lacks bandwidth, so nobody knows whether the rest of the gate keeps it.`)]
      : []),
    make(
      "div",
      { className: "row-of-buttons" },
      button(between ? `Hear the ${plural(between, "clip")} between` : "No clip between", hear, { className: "main", disabled: !between, id: "hear" }),
      button("Take this as run.yaml", take, { id: "take", disabled: !isMoved }),
      button("As they were", reset, { id: "reset", disabled: !isMoved }),
    ),
  );
}

function hear() {
  remember({ view: "clips", filter: { moved: { ...state.moved } }, sort: "nearest", at: 0, clip: null }, { step: true });
  emit("address");
}

function reset() {
  remember({ moved: {} });
  drawThresholds();
}

async function take() {
  try {
    const yaml = await text("thresholds.yaml", { moved: state.moved });
    const copy = async () => {
      await navigator.clipboard.writeText(yaml);
      toast("Copied.");
    };
    const link = make("a", { className: "button main", download: "run.yaml", href: URL.createObjectURL(new Blob([yaml], { type: "application/yaml" })) }, "Download run.yaml");
    tell(
      "Take this as run.yaml",
      make("p", {}, "Give it to the next run: ", make("code", {}, "clean-corpus run INPUT OUTPUT --config run.yaml")),
      make("pre", { tabindex: 0 }, yaml),
      make("div", { className: "row-of-buttons" }, button("Copy", () => copy().catch(alarm)), link),
    );
  } catch (error) {
    alarm(error);
  }
}

// ---- sliders ----

function drawSlider(score) {
  const found = histograms[score.name];
  const limit = score.threshold ?? null;
  const [low, high] = [Math.min(found.edges[0], limit ?? Infinity), Math.max(found.edges.at(-1), limit ?? -Infinity)];
  const step = niceStep((high - low) / STEPS);
  const value = valueOf(score);
  const label = `${score.label}, ${score.better === "low" ? "at most" : "at least"}`;
  const slider = make("input", { type: "range", min: Math.floor(low / step) * step, max: Math.ceil(high / step) * step, step, "aria-label": label });
  slider.value = value ?? (score.better === "low" ? high : low);
  const field = make("input", { type: "number", step: "any", "aria-label": `${label}, number` });
  const off = make("input", { type: "checkbox" });
  const picture = make("div", { className: "picture" });
  const box = make("section", { className: "slider panel" });
  const paint = () => {
    const now = valueOf(score);
    picture.replaceChildren(histogram(found, now, `${score.label}: histogram`));
    field.value = now ?? "";
    off.checked = now === null;
    slider.disabled = field.disabled = now === null;
    box.classList.toggle("moved", score.setting in state.moved);
    was.textContent = score.setting in state.moved ? `was ${limit === null ? "off" : figure(limit)}` : "";
  };
  const was = make("span", { className: "muted" });
  const set = (to) => {
    move(score, to);
    paint();
  };
  slider.oninput = () => set(near(Number(slider.value), step, limit));
  field.onchange = () => {
    if (field.value === "") return paint();
    slider.value = field.value;
    set(Number(field.value));
  };
  off.onchange = () => set(off.checked ? null : Number(slider.value));
  slider.dataset.key = score.setting;
  box.append(
    make("h3", { title: score.about }, score.label, " ", make("code", { className: "muted" }, score.setting)),
    picture,
    slider,
    make("div", { className: "fields" }, score.better === "low" ? "at most" : "at least", field, was, make("label", { className: "habit" }, off, "off")),
  );
  paint();
  return box;
}

const niceStep = (size) => 10 ** Math.floor(Math.log10(size || 1));

// A slider's step near the threshold of the version is that threshold itself.
function near(value, step, limit) {
  if (limit !== null && Math.abs(value - limit) < step * 0.75) return limit;
  return Number(value.toPrecision(8));
}

async function drawThresholds() {
  try {
    histograms ??= await get("histograms", { filter: {}, bins: 60 });
  } catch (error) {
    alarm(error, drawThresholds);
    return;
  }
  const found = movable().filter((score) => histograms[score.name]?.edges?.length > 1);
  const hint = "The gate decides every clip anew, by its own rules. Nothing changes in the corpus: hear what lies between, then take the settings to the next run.";
  redraw(
    view,
    make("h2", {}, "Thresholds"),
    make("p", { className: "note" }, hint),
    make("div", { id: "sum", "aria-live": "polite" }),
    make("div", { className: "sliders" }, ...found.map(drawSlider)),
  );
  ask();
}

on("view", () => state.view === "thresholds" && drawThresholds());
on("version", () => {
  histograms = null;
  if (state.view === "thresholds") drawThresholds();
});
