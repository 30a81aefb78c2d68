// Decisions: sent one batch after the other as they are made, shown as saving, saved or not saved, and taken back.

import { post } from "./api.js";
import { alarm, button, emit, plural, toast } from "./dom.js";
import { update } from "./list.js";
import { corpus, state, store, stored } from "./state.js";
import { marks } from "./table.js";

const MOST = 1000; // clips in one request
const REMEMBERED = 100; // batches that can be taken back after a reload

export const SAID = { keep: "keep", reject: "reject", use_raw: "use raw", use_enhanced: "use enhanced" };

export const saving = new Map(); // clip id -> "saving", "saved" or "failed"
let made = stored("made", [], "sessionStorage"); // [{words, ids: [[id, clip id]]}]
let queue = Promise.resolve();
let unsent = 0;

// The clips that a decision is over: those that are marked, else the one that is shown.
export const targets = () => (marks.size ? [...marks.keys()] : state.clip ? [state.clip] : []);

export function decide(what, value = null, clipIds = targets()) {
  if (!clipIds.length) return Promise.resolve(false);
  const text = `${SAID[what] ?? what}: ${plural(clipIds.length, "clip")}`;
  return send(text, clipIds, what, value);
}

function send(text, clipIds, what, value) {
  for (const clipId of clipIds) saving.set(clipId, "saving");
  emit("saving");
  unsent += 1;
  const sent = queue.then(() => deliver(text, clipIds, what, value));
  queue = sent.catch(() => {});
  return sent.finally(() => (unsent -= 1));
}

async function deliver(text, clipIds, what, value) {
  try {
    const ids = [];
    for (let at = 0; at < clipIds.length; at += MOST) {
      const part = what === "undo" ? value.slice(at, at + MOST) : value;
      const answer = await post("decisions", { clip_ids: clipIds.slice(at, at + MOST), what, value: part });
      answer.stored.forEach((one, n) => ids.push([one.id, one.clip_id ?? clipIds[at + n]]));
      update(answer.clips);
      corpus.pending = answer.pending;
    }
    for (const clipId of clipIds) saving.set(clipId, "saved");
    if (what !== "undo") keepMade({ words: text, ids });
    emit("decided", clipIds);
    return true;
  } catch (error) {
    for (const clipId of clipIds) saving.set(clipId, "failed");
    emit("saving");
    alarm(error, () => send(text, clipIds, what, value));
    return false;
  }
}

function keepMade(batch) {
  made.push(batch);
  made = made.slice(-REMEMBERED);
  store("made", made, "sessionStorage");
  if (batch.ids.length > 1) toast(`Saved: ${batch.words}`, button("Undo", undo, { shortcut: "u" }));
}

// Takes back the last batch that was made in this tab.
export async function undo() {
  await queue;
  const last = made.pop();
  store("made", made, "sessionStorage");
  if (!last) return toast("There is nothing left to undo here; each clip lists its decisions.");
  const clipIds = last.ids.map(([, clipId]) => clipId);
  const isDone = await send("undo", clipIds, "undo", last.ids.map(([id]) => id));
  if (isDone) {
    toast(`Undone: ${last.words}`);
    emit("undone", clipIds);
  }
}

export async function undoOne(clipId, id) {
  if (!(await send("undo", [clipId], "undo", [id]))) return;
  made = made.map((batch) => ({ ...batch, ids: batch.ids.filter(([one]) => one !== id) })).filter(({ ids }) => ids.length);
  store("made", made, "sessionStorage");
}

// The decisions that are over: all went to the server, or were refused.
export const settled = () => queue;

addEventListener("beforeunload", (event) => unsent && event.preventDefault());
