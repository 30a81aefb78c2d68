// The page as a whole: which view is shown, and what stands in its head.

import "./agreement.js";
import "./thresholds.js";
import { get } from "./api.js";
import { startClip } from "./clip.js";
import { alarm, button, count, emit, hours, make, on, place, rest, signed, toast } from "./dom.js";
import { startFilters } from "./filters.js";
import { startKeys } from "./keys.js";
import { refresh } from "./list.js";
import "./pending.js";
import { corpus, readAddress, remember, state, VIEWS } from "./state.js";

// Short names of scores, for columns and axes; what the server calls them is said beside.
const SHORT = {
  dnsmos_sig: "DNSMOS SIG",
  dnsmos_bak: "DNSMOS BAK",
  dnsmos_ovrl: "DNSMOS OVRL",
  dnsmos_p808: "DNSMOS P.808",
  distillmos: "DistillMOS",
  snr_db: "SNR",
  clipping_ratio: "clipping",
  bandwidth_hz: "bandwidth",
  speech_ratio: "share of speech",
  loudness_lufs: "loudness",
  pesq_wb: "PESQ",
  stoi: "STOI",
  si_sdr_db: "SI-SDR",
  residual_snr_db: "residual SNR",
  voice_likeness: "likeness of voices",
  voice_constancy: "constancy of voice",
  voice_match: "likeness to speaker",
  cer: "CER",
  text_rate: "letters per second",
};

function named(score) {
  const name = SHORT[score.name] ?? (score.name.startsWith("raw_") && SHORT[score.name.slice(4)] + ", raw");
  const unit = ["MOS", "share"].includes(score.unit) ? "" : score.unit;
  return { ...score, about: score.label, label: [name || score.name, unit].filter(Boolean).join(", ") };
}

const TITLES = { clips: "g c", thresholds: "g t", pending: "g p", agreement: "g a" };

async function readCorpus() {
  const found = await get("corpus");
  Object.assign(corpus, found, { scores: found.scores.map(named) });
  place("output").textContent = corpus.output;
  place("version").textContent = `version ${corpus.version}`;
  document.title = `Review: ${corpus.output}`;
  drawStanding();
}

function drawStanding() {
  const pending = corpus.pending;
  const parts = [`${hours(corpus.kept_hours)} of ${hours(corpus.hours)} kept`, `${count(corpus.clips)} clips`];
  if (corpus.reviewer) parts.push(`you are ${corpus.reviewer}`);
  place("standing").textContent = parts.join(" · ");
  const badge = document.getElementById("pending-count");
  if (badge && pending) {
    badge.hidden = !pending.clips;
    badge.textContent = count(pending.clips);
    badge.title = `${count(pending.clips)} clips pending, ${signed(pending.hours)} kept`;
  }
}

function drawViews() {
  const tabs = Object.entries(VIEWS).map(([name, text]) => {
    const tab = button(text, () => goTo(name), { className: "tab", id: `tab-${name}`, title: TITLES[name] });
    if (name === "pending") tab.append(make("span", { id: "pending-count", className: "count", hidden: true }));
    return tab;
  });
  place("views").replaceChildren(...tabs);
}

function goTo(view) {
  if (view === state.view) return;
  remember({ view }, { step: true });
  showView();
}

function showView() {
  for (const name of Object.keys(VIEWS)) {
    place(`view-${name}`).hidden = name !== state.view;
    const tab = place(`tab-${name}`);
    if (name === state.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  document.body.dataset.view = state.view;
  if (state.view === "clips") place("grid").focus({ preventScroll: true });
  else document.activeElement?.blur();
  emit("view");
}

on("go", goTo);
on("address", () => {
  showView();
  emit("filter");
});
on("decided", drawStanding);
on("standing", drawStanding);
on("nothing", (text) => toast(text));
on("published", async () => {
  try {
    await readCorpus();
    emit("version");
    await refresh();
  } catch (error) {
    alarm(error);
  }
});

// Another reviewer may have decided meanwhile.
const look = rest(async () => {
  try {
    const found = await get("corpus");
    const isNew = found.version !== corpus.version;
    corpus.pending = found.pending ?? corpus.pending;
    drawStanding();
    if (isNew) emit("published");
  } catch {
    // said when something is asked for
  }
}, 200);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look());

async function start() {
  readAddress();
  drawViews();
  try {
    await readCorpus();
  } catch (error) {
    alarm(error, () => location.reload());
    return;
  }
  startFilters();
  startKeys();
  drawStanding();
  showView();
  await refresh();
  startClip();
  document.body.dataset.ready = "yes";
}

start();
