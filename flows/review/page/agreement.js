// What people decided against what the gate said, and the thresholds that would agree best.

import { get } from "./api.js";
import { alarm, button, count, emit, figure, make, on, place, redraw, words } from "./dom.js";
import { remember, state, corpus } from "./state.js";

const view = place("view-agreement");
const percent = (share) => (share === null || share === undefined || Number.isNaN(share) ? "–" : `${(share * 100).toFixed(0)} %`);

async function drawAgreement() {
  try {
    const found = await get("agreement");
    redraw(view, make("h2", {}, "Agreement"), ...(found.decided ? parts(found) : [empty()]));
  } catch (error) {
    alarm(error, drawAgreement);
  }
}

const empty = () => make("p", { className: "empty" }, "Nobody has kept or rejected a clip yet. A random sample, decided with the ears, says most.");

function parts(found) {
  const [low, high] = found.agree_interval;
  const share = `of ${count(found.decided)} decisions to keep or reject agree with the gate (95 % interval ${percent(low)} to ${percent(high)}).`;
  return [
    make("p", { id: "agree" }, make("b", {}, percent(found.agree)), ` ${share}`),
    make("div", { className: "panels" }, panel("The gate and people", confusion(found.confusion)), panel("By the gate's reason", reasons(found.by_reason))),
    panel("Thresholds that would agree best", best(found.best)),
  ];
}

const panel = (title, ...children) => make("section", { className: "panel" }, make("h3", {}, title), ...children);
// The first head is of names, the others of numbers.
const heads = (...texts) => make("thead", {}, make("tr", {}, ...texts.map((text, at) => make("th", { scope: "col", className: at ? "number" : "" }, text))));
const number = (text) => make("td", { className: "number" }, text);

function confusion(rows) {
  const line = (name, [keep, reject]) => make("tr", {}, make("th", { scope: "row" }, name), number(count(keep)), number(count(reject)));
  return make("table", { id: "confusion" }, heads("", "people keep", "people reject"), make("tbody", {}, line("gate keeps", rows[0]), line("gate rejects", rows[1])));
}

function reasons(rows) {
  const line = (one) => {
    const name = make("th", { scope: "row" }, one.reason ? words(one.reason) : make("i", {}, "none: it kept them"));
    return make("tr", {}, name, number(count(one.decided)), number(count(one.agree)));
  };
  return make("table", {}, heads("reason", "decided", "agreed"), make("tbody", {}, ...rows.map(line)));
}

function best(rows) {
  if (!rows.length) return make("p", { className: "note" }, "Too few decisions to tell one threshold from another: it takes ten, some to keep and some to reject.");
  const line = (one) => {
    const score = corpus.scores.find((found) => found.setting === one.setting);
    const [low, high] = one.interval;
    const attempt = button("try", () => look(one), { className: "link", "aria-label": `try ${one.setting} ${figure(one.threshold)}` });
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, score?.label ?? "", " ", make("code", { className: "muted" }, one.setting)),
      number(score?.threshold === null ? "off" : figure(score?.threshold)),
      number(figure(one.threshold)),
      number(`${figure(low)} – ${figure(high)}`),
      number(percent(one.agreement_now)),
      number(percent(one.agreement)),
      number(count(one.n)),
      make("td", {}, attempt),
    );
  };
  const hint = make("p", { className: "note" }, "Each threshold alone, over the clips that people kept or rejected; the interval holds 95 of 100 resamples of them. A wide one says: decide more clips near it.");
  return make("div", { className: "wide" }, make("table", { id: "best" }, heads("threshold", "now", "best", "95 % interval", "agree now", "agree then", "clips", ""), make("tbody", {}, ...rows.map(line))), hint);
}

function look(one) {
  remember({ view: "thresholds", moved: { ...state.moved, [one.setting]: one.threshold } }, { step: true });
  emit("address");
}

on("view", () => state.view === "agreement" && drawAgreement());
