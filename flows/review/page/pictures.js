// Waveform with marks of speech, and both spectrograms, under one line that says what is heard now.

import { clipAddress } from "./api.js";
import { make, on, seconds } from "./dom.js";
import { listenTo, peaks, player, position, seek, VERSIONS } from "./player.js";
import { corpus } from "./state.js";

let shown = null; // {detail, canvas, playhead, clock, found}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function pictures(detail) {
  const canvas = make("canvas", { className: "wave", role: "img", "aria-label": "Waveform; bars below it are speech" });
  const playhead = make("i", { className: "playhead", "aria-hidden": "true" });
  const frame = make("div", { className: "pictures" }, axisOf(null), make("div", { className: "frame" }, canvas));
  shown = { detail, canvas, playhead, found: {}, frame };
  for (const version of VERSIONS) if (detail.versions?.[version]?.available) frame.append(...spectrogram(detail, version));
  const overlay = make("div", { className: "overlay", title: "Click to listen from here" }, playhead);
  overlay.onpointerdown = (event) => {
    const box = overlay.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * player.duration);
    const row = [...frame.querySelectorAll("img")].find((image) => within(image, event.clientY));
    if (row) listenTo(row.dataset.version);
  };
  frame.append(overlay, times(detail.duration_s));
  load();
  return frame;
}

function within(element, y) {
  const box = element.getBoundingClientRect();
  return box.top <= y && y <= box.bottom;
}

function spectrogram(detail, version) {
  const image = make("img", { alt: `Spectrogram of the ${version} version`, decoding: "async", src: clipAddress(detail.clip_id, `/spectrogram/${version}`) });
  image.dataset.version = version;
  image.onerror = () => image.replaceWith(make("p", { className: "empty" }, `No spectrogram of the ${version} version.`));
  const label = make("b", { className: version }, version);
  return [axisOf(corpus.sample_rate), make("div", { className: "frame" }, image, label)];
}

function axisOf(sampleRate) {
  const axis = make("div", { className: "axis", "aria-hidden": "true" });
  if (sampleRate) axis.append(make("span", {}, `${Number((sampleRate / 2000).toPrecision(3))}`), make("span", {}, "kHz"), make("span", {}, "0"));
  return axis;
}

function times(duration) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300];
  const step = steps.find((one) => duration / one <= 6) ?? 600;
  const axis = make("div", { className: "times", "aria-hidden": "true" });
  for (let at = 0; at <= duration * 0.97; at += step) {
    const tick = make("span", {}, `${Number(at.toFixed(1))}`);
    tick.style.left = `${(at / duration) * 100}%`;
    axis.append(tick);
  }
  axis.append(make("span", { className: "unit" }, "s"));
  return axis;
}

async function load() {
  const mine = shown;
  for (const version of VERSIONS.filter((one) => mine.detail.versions?.[one]?.available)) {
    try {
      mine.found[version] = await peaks(mine.detail.clip_id, version);
    } catch {
      continue; // the player says what is wrong
    }
    if (mine !== shown) return;
    paint();
  }
}

function paint() {
  if (!shown) return;
  const { canvas, detail, found } = shown;
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (!wide) return;
  Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  const strip = 5 * ratio; // the marks of speech
  const middle = (high - strip) / 2;
  const duration = found[player.version]?.duration_s ?? detail.duration_s;
  context.fillStyle = colour("speech-tint");
  for (const [from, to] of detail.speech ?? []) context.fillRect((from / duration) * wide, 0, ((to - from) / duration) * wide, high);
  context.fillStyle = colour("speech");
  for (const [from, to] of detail.speech ?? []) context.fillRect((from / duration) * wide, high - strip + ratio, ((to - from) / duration) * wide, strip - ratio);
  const one = found[player.version];
  if (!one) return;
  const loudest = Math.max(0.05, ...Object.values(found).flatMap(({ low, high: top }) => [...top, ...low.map((x) => -x)]));
  context.fillStyle = colour(`${player.version}-text`);
  const step = wide / one.low.length;
  one.low.forEach((low, at) => {
    const top = middle - (one.high[at] / loudest) * middle;
    const tall = Math.max(((one.high[at] - low) / loudest) * middle, ratio);
    context.fillRect(at * step, top, Math.max(step, 1), tall);
  });
}

function follow() {
  if (!shown) return;
  const at = player.duration ? position() / player.duration : 0;
  shown.playhead.style.left = `${at * 100}%`;
  shown.playhead.hidden = player.isAround;
  const clock = document.getElementById("clock");
  if (clock) clock.textContent = `${position().toFixed(1)} / ${seconds(player.duration)}`;
  if (player.isPlaying) requestAnimationFrame(follow);
}

export function forget() {
  shown = null;
}

on("player", () => {
  if (!shown) return;
  shown.frame.dataset.version = player.version;
  paint();
  follow();
});
new ResizeObserver(paint).observe(document.getElementById("clip")); // hidden on narrow screens until it is opened
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
