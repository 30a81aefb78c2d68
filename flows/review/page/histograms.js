// Histograms of scores, with a brush that keeps a range, and the threshold drawn.

import { draw, figure, make } from "./dom.js";
import { corpus, setRange, state } from "./state.js";

const WIDE = 200;
const HIGH = 40;

// Between the edges, which need not lie evenly: a score -> its place from 0 to 1, and back.
export function placeOf(edges, value) {
  const last = edges.length - 1;
  if (value <= edges[0]) return 0;
  if (value >= edges[last]) return 1;
  const at = edges.findIndex((edge) => edge > value) - 1;
  return (at + (value - edges[at]) / (edges[at + 1] - edges[at] || 1)) / last;
}

export function valueAt(edges, fraction) {
  const last = edges.length - 1;
  const at = Math.min(Math.floor(fraction * last), last - 1);
  return edges[at] + (fraction * last - at) * (edges[at + 1] - edges[at]);
}

function bars(counts, most) {
  const wide = WIDE / counts.length;
  const parts = counts.map((n, i) => {
    const high = n ? Math.max((n / most) * HIGH, 1) : 0;
    return `M${(i * wide).toFixed(2)} ${HIGH}v${-high.toFixed(2)}h${(wide * 0.86).toFixed(2)}v${high.toFixed(2)}z`;
  });
  return parts.join("");
}

export function histogram({ edges, clips, under_filter: under }, threshold, label) {
  const most = Math.max(...clips, 1);
  const picture = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  picture.append(draw("path", { class: "all", d: bars(clips, most) }));
  if (under) picture.append(draw("path", { class: "under", d: bars(under, most) }));
  if (threshold !== null && threshold !== undefined && edges.length > 1) {
    const x = placeOf(edges, threshold) * WIDE;
    picture.append(draw("line", { class: "threshold", x1: x, x2: x, y1: 0, y2: HIGH }));
  }
  return picture;
}

// One score's histogram to brush, and two fields that do the same by keyboard.
export function brush(score, found) {
  const range = state.filter.ranges?.[score.name];
  const { edges } = found;
  const label = `${score.label}: ${figure(edges[0])} to ${figure(edges.at(-1))}`;
  const picture = histogram(found, score.threshold, label);
  const chosen = draw("rect", { class: "chosen", y: 0, height: HIGH, x: 0, width: 0 });
  picture.append(chosen);
  const paint = (from, to) => {
    chosen.setAttribute("x", Math.min(from, to) * WIDE);
    chosen.setAttribute("width", Math.abs(to - from) * WIDE);
  };
  if (range) paint(placeOf(edges, range[0]), placeOf(edges, range[1]));
  let start = null;
  const fraction = (event) => {
    const box = picture.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  picture.onpointerdown = (event) => {
    start = fraction(event);
    picture.setPointerCapture(event.pointerId);
    event.preventDefault();
  };
  picture.onpointermove = (event) => start !== null && paint(start, fraction(event));
  picture.onpointercancel = () => (start = null);
  picture.onpointerup = (event) => {
    if (start === null) return;
    const [from, to] = [start, fraction(event)].sort((a, b) => a - b);
    start = null;
    const isClick = (to - from) * picture.getBoundingClientRect().width < 4;
    setRange(score.name, isClick ? null : [round(valueAt(edges, from)), round(valueAt(edges, to))]);
  };
  const figureClass = `brush${range ? " set" : ""}`;
  return make("figure", { className: figureClass }, make("figcaption", { title: score.about }, score.label), picture, fields(score, edges, range));
}

const round = (value) => Number(value.toPrecision(4));

function fields(score, edges, range) {
  const field = (at, name) => {
    const input = make("input", { type: "number", step: "any", value: range ? range[at] : "", placeholder: figure(edges[at ? edges.length - 1 : 0]) });
    input.setAttribute("aria-label", `${score.label}, ${name}`);
    input.dataset.key = `${score.name}-${at}`;
    input.onchange = () => {
      const values = range ? [...range] : [edges[0], edges.at(-1)];
      if (input.value !== "") values[at] = Number(input.value);
      else values[at] = at ? edges.at(-1) : edges[0];
      const isAll = values[0] <= edges[0] && values[1] >= edges.at(-1);
      setRange(score.name, isAll ? null : values.sort((a, b) => a - b));
    };
    return input;
  };
  return make("div", { className: "fields" }, field(0, "lowest"), "–", field(1, "highest"));
}

export const scoreOf = (name) => corpus.scores.find((score) => score.name === name);
