// A clip's scores before and after, each on a line with its threshold, drawn over what the corpus has.

import { figure, make, words } from "./dom.js";
import { placeOf } from "./histograms.js";
import { corpus } from "./state.js";

// Every score once, those with a threshold first. What a raw clip has to reach to be published as it is stands with it.
function rowsOf(detail) {
  const names = new Set(corpus.scores.map((score) => score.name));
  const isStricter = (score) => score.of === "raw" && names.has(score.name.replace(/^raw_/, "")) && score.name.startsWith("raw_");
  const stricter = new Map(corpus.scores.filter(isStricter).map((score) => [score.name.slice(4), score.threshold]));
  const rows = corpus.scores.filter((score) => !isStricter(score)).map((score) => ({
    ...score,
    threshold: score.threshold,
    stricter: stricter.get(score.name) ?? null,
    raw: detail.scores_raw?.[score.name] ?? null,
    enhanced: detail.scores_enhanced?.[score.name] ?? null,
    own: detail.scores?.[score.name] ?? null,
  }));
  const isThere = (one) => one.raw !== null || one.enhanced !== null || one.own !== null;
  return rows.filter(isThere).sort((a, b) => (a.threshold === null) - (b.threshold === null));
}

export const misses = (value, threshold, better) =>
  value !== null && threshold !== null && threshold !== undefined && (better === "low" ? value > threshold : value < threshold);

export function scoreTable(detail, spans) {
  const rows = rowsOf(detail);
  if (!rows.length) return make("p", { className: "note" }, "It was not scored.");
  const body = make("tbody", {}, ...rows.map((one) => drawRow(one, detail, spans)));
  const heads = ["Score", "Raw", "Enhanced", "", "Threshold"].map((text) => make("th", { scope: "col" }, text));
  return make("table", { className: "clip-scores" }, make("thead", {}, make("tr", {}, ...heads)), body);
}

function drawRow(one, detail, spans) {
  const judged = detail.chosen ? one[detail.chosen] ?? one.own : one.own;
  const value = (version, said) => {
    const isMissed = (detail.chosen ?? version) === version && misses(said, one.threshold, one.better);
    return make("td", { className: `${version}${isMissed ? " missed" : ""}` }, figure(said));
  };
  const limit = one.threshold === null || one.threshold === undefined ? "" : `${one.better === "low" ? "≤" : "≥"} ${figure(one.threshold)}`;
  return make(
    "tr",
    { className: misses(judged, one.threshold, one.better) ? "missed" : "" },
    make("th", { scope: "row", title: one.about }, words(one.label)),
    value("raw", one.raw ?? (one.enhanced === null ? one.own : null)),
    value("enhanced", one.enhanced),
    make("td", { className: "line" }, line(one, spans[one.name])),
    make("td", { className: "muted" }, limit),
  );
}

function line(one, edges) {
  const track = make("div", { className: "track", "aria-hidden": "true" });
  if (!edges) return track;
  const at = (className, value) => {
    if (value === null || value === undefined) return;
    const mark = make("i", { className });
    mark.style.left = `${placeOf(edges, value) * 100}%`;
    track.append(mark);
  };
  at("raw", one.raw ?? (one.enhanced === null ? one.own : null));
  at("enhanced", one.enhanced);
  at("threshold stricter", one.stricter);
  at("threshold", one.threshold);
  return track;
}

// The ends of each score's line: of its histogram over the whole corpus, by the score's name.
export function spansOf(histograms) {
  const spans = {};
  for (const [name, { edges }] of Object.entries(histograms)) {
    if (edges?.length > 1) spans[name] = [edges[0], edges.at(-1)];
    const other = histograms[`raw_${name}`]?.edges;
    if (other?.length > 1) spans[name] = [Math.min(edges[0], other[0]), Math.max(edges.at(-1), other.at(-1))];
  }
  return spans;
}
