// The two versions of a clip, played together and heard one at a time: switching keeps the place to the sample.

import { bytes, clipAddress, json } from "./api.js";
import { alarm, emit } from "./dom.js";

export const VERSIONS = ["raw", "enhanced"];
const FADE_S = 0.008;
const AROUND_S = 3;

export const player = {
  clip: null,
  version: "enhanced",
  isPlaying: false,
  isLooped: false,
  isAround: false,
  duration: 0,
  buffers: {},
};

let context = null;
let loading = null; // ends with the buffers of the clip
let stopping = new AbortController();
let running = []; // [{source, gain, version}]
let began = 0; // the context's time at which the clip's beginning would have been
let held = 0; // where it was paused, seconds
let gains = {};

// Browsers open a context only after a key or a click, and only then is it needed.
function sound() {
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume();
  return context;
}

const has = (version) => Boolean(player.buffers[version]);
export const decibels = (db) => 10 ** ((db ?? 0) / 20);

// ---- clips ----

// Takes another clip; its audio is fetched, and decoded once somebody wants to hear it.
export function take(detail) {
  stop();
  stopping.abort();
  stopping = new AbortController();
  const versions = VERSIONS.filter((version) => detail.versions?.[version]?.available);
  gains = Object.fromEntries(versions.map((version) => [version, decibels(detail.versions[version].gain_db)]));
  Object.assign(player, { clip: detail.clip_id, buffers: {}, duration: detail.duration_s ?? 0, isAround: false });
  if (versions.length && !versions.includes(player.version)) player.version = versions[0];
  held = 0;
  const signal = stopping.signal;
  const files = versions.map((version) => bytes(clipAddress(detail.clip_id, `/audio/${version}`), { signal }));
  loading = versions.length ? Promise.all(files).then((data) => ({ versions, data, signal })) : null;
  loading?.catch(() => {}); // said when it is wanted
  emit("player");
}

export function leave() {
  stop();
  stopping.abort();
  loading = null;
  Object.assign(player, { clip: null, buffers: {}, duration: 0 });
}

async function decoded() {
  if (!loading) return false;
  const { versions, data, signal } = await loading;
  if (signal.aborted) return false;
  if (versions.every(has)) return true;
  const found = await Promise.all(data.map((one) => sound().decodeAudioData(one.slice(0))));
  if (signal.aborted) return false;
  player.buffers = Object.fromEntries(versions.map((version, at) => [version, found[at]]));
  player.duration = Math.max(...found.map((buffer) => buffer.duration));
  return true;
}

// ---- playing ----

export function position() {
  if (!player.isPlaying || player.isAround) return held;
  const at = context.currentTime - began;
  return player.isLooped ? at % player.duration : Math.min(at, player.duration);
}

function start(at) {
  const now = sound().currentTime;
  running = VERSIONS.filter(has).map((version) => {
    const gain = new GainNode(context, { gain: version === player.version ? gains[version] : 0 });
    const source = new AudioBufferSourceNode(context, { buffer: player.buffers[version], loop: player.isLooped });
    source.connect(gain).connect(context.destination);
    source.start(now, at);
    return { source, gain, version };
  });
  began = now - at;
  const mine = running;
  mine[0].source.onended = () => running === mine && ended();
  player.isPlaying = true;
  emit("player");
}

function silence() {
  for (const { source } of running) source.stop();
  running = [];
}

function ended() {
  silence();
  held = 0;
  Object.assign(player, { isPlaying: false, isAround: false });
  emit("player");
}

export function stop() {
  if (!player.isPlaying) return;
  held = position();
  silence();
  Object.assign(player, { isPlaying: false, isAround: false });
  emit("player");
}

export async function play() {
  sound();
  const clip = player.clip;
  try {
    if (!(await decoded()) || player.clip !== clip || player.isPlaying) return;
    start(held >= player.duration - 0.02 ? 0 : held);
  } catch (error) {
    if (error.name !== "AbortError") alarm(error);
  }
}

export const toggle = () => (player.isPlaying ? stop() : play());

export function seek(seconds) {
  const at = Math.min(Math.max(seconds, 0), Math.max(player.duration - 0.01, 0));
  const wasPlaying = player.isPlaying && !player.isAround;
  if (player.isPlaying) stop();
  held = at;
  if (wasPlaying) start(at);
  emit("player");
}

// The other version from here on; both run side by side, so nothing is lost and nothing clicks.
export function listenTo(version) {
  if (!(version in gains)) return;
  player.version = version;
  for (const one of running) {
    const wanted = one.version === version ? gains[one.version] : 0;
    if (one.version in gains) one.gain.gain.setTargetAtTime(wanted, context.currentTime, FADE_S);
  }
  emit("player");
}

export const switchVersion = () => listenTo(player.version === "raw" ? "enhanced" : "raw");

export function loop() {
  player.isLooped = !player.isLooped;
  if (player.isPlaying && !player.isAround) seek(position());
  emit("player");
}

// What lies around the clip in its recording, a few seconds before and after.
export async function playAround() {
  if (player.isPlaying && player.isAround) return stop();
  stop();
  sound();
  const clip = player.clip;
  try {
    const data = await bytes(clipAddress(clip, "/audio/around", { seconds: AROUND_S }), { signal: stopping.signal });
    const buffer = await context.decodeAudioData(data);
    if (player.clip !== clip || player.isPlaying) return;
    const source = new AudioBufferSourceNode(context, { buffer });
    const gain = new GainNode(context);
    source.connect(gain).connect(context.destination);
    source.start();
    running = [{ source, gain, version: "around" }];
    const mine = running;
    source.onended = () => running === mine && ended();
    Object.assign(player, { isPlaying: true, isAround: true });
    emit("player");
  } catch (error) {
    if (error.name !== "AbortError") alarm(error);
  }
}

export const peaks = (clipId, version) => json(clipAddress(clipId, `/peaks/${version}`, { width: 1000 }));

// For those who test the page: what is heard right now.
export const heard = () => ({
  state: context?.state ?? "none",
  time: context?.currentTime ?? 0,
  position: position(),
  gains: Object.fromEntries(running.map(({ gain, version }) => [version, gain.gain.value])),
  ...player,
});
