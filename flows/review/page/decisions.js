// Decisions: sent one batch after the other as they are made, shown as saving, saved or not saved, and taken back.

import { post } from "./api.js";
import { alarm, button, emit, plural, toast } from "./dom.js";
import { update } from "./list.js";
import { corpus, state, store, stored } from "./state.js";
import { marks } from "./table.js";

const MOST = 1000; // clips in one request
const REMEMBERED = 100; // batches that can be taken back after a reload
const REFUSED = new Set([400, 404]); // asked again, the server would say the same

export const SAID = { keep: "keep", reject: "reject", use_raw: "use raw", use_enhanced: "use enhanced" };

export const saving = new Map(); // clip id -> "saving", "saved" or "failed"
let made = null; // [{words, ids: [[id, clip id]]}], once it is asked for
let unsent = []; // batches that are not stored yet, the oldest first
let sending = null; // ends when all are stored, or one cannot be

// The clips that a decision is over: those that are marked, else the one that is shown.
export const targets = () => (marks.size ? [...marks.keys()] : state.clip ? [state.clip] : []);

export function decide(what, value = null, clipIds = targets()) {
  if (!clipIds.length) return Promise.resolve(false);
  return send(`${SAID[what] ?? what}: ${plural(clipIds.length, "clip")}`, clipIds, what, value);
}

function send(text, clipIds, what, value) {
  return new Promise((done) => {
    unsent.push({ text, clipIds, what, value, ids: [], done });
    sendAll();
  });
}

// What could not be stored waits in front of what comes after: of two decisions over a clip the later one counts.
function sendAll() {
  for (const batch of unsent) show(batch, "saving");
  emit("saving");
  sending ??= deliverAll();
}

async function deliverAll() {
  try {
    while (unsent.length) {
      const batch = unsent[0];
      let refusal = null;
      try {
        await deliver(batch);
      } catch (error) {
        if (!REFUSED.has(error.status)) return wait(error);
        refusal = error;
      }
      unsent.shift();
      settle(batch, refusal);
    }
  } finally {
    sending = null;
  }
}

function settle(batch, refusal) {
  show(batch, refusal ? "failed" : "saved");
  if (refusal) alarm(refusal);
  if (batch.ids.length && batch.what !== "undo") keepMade({ words: batch.text, ids: batch.ids });
  emit(refusal ? "saving" : "decided", batch.clipIds);
  batch.done(!refusal);
}

async function deliver({ clipIds, what, value, ids }) {
  while (ids.length < clipIds.length) {
    const [at, end] = [ids.length, ids.length + MOST];
    const part = what === "undo" ? value.slice(at, end) : value;
    const answer = await post("decisions", { clip_ids: clipIds.slice(at, end), what, value: part });
    answer.stored.forEach((one, n) => ids.push([one.id, one.clip_id ?? clipIds[at + n]]));
    update(answer.clips);
    corpus.pending = answer.pending;
  }
}

function wait(error) {
  for (const batch of unsent) show(batch, "failed");
  emit("saving");
  const all = unsent.length > 1 ? `${unsent.length} decisions are not stored: ` : "";
  alarm(new Error(all + error.message), sendAll);
}

function show({ clipIds }, said) {
  for (const clipId of clipIds) saving.set(clipId, said);
}

// Of this tab and this corpus: the next one may be shown under the same address.
const place = () => `made:${corpus.root}`;
const past = () => (made ??= stored(place(), [], "sessionStorage"));

function keepPast(batches) {
  made = batches.slice(-REMEMBERED);
  store(place(), made, "sessionStorage");
}

function keepMade(batch) {
  keepPast([...past(), batch]);
  if (batch.ids.length > 1) toast(`Saved: ${batch.words}`, button("Undo", undo, { shortcut: "u" }));
}

// Takes back the last batch that was made in this tab.
export async function undo() {
  await sending;
  if (unsent.length && !unsent.at(-1).ids.length) return drop();
  const last = past().at(-1);
  keepPast(past().slice(0, -1));
  if (!last) return toast("There is nothing left to undo here; each clip lists its decisions.");
  const clipIds = last.ids.map(([, clipId]) => clipId);
  const isDone = await send("undo", clipIds, "undo", last.ids.map(([id]) => id));
  if (isDone === null) keepPast([...past(), last]); // dropped: it stands
  if (isDone) {
    toast(`Undone: ${last.words}`);
    emit("undone", clipIds);
  }
}

// Of what could not be stored nothing has to be taken back: it is not sent again.
function drop() {
  const batch = unsent.pop();
  for (const clipId of batch.clipIds) saving.delete(clipId);
  for (const one of unsent) show(one, "failed");
  emit("saving");
  batch.done(null);
  toast(`Dropped, it was not stored: ${batch.text}`);
}

export async function undoOne(clipId, id) {
  if (!(await send("undo", [clipId], "undo", [id]))) return;
  const rest = past().map((batch) => ({ ...batch, ids: batch.ids.filter(([one]) => one !== id) }));
  keepPast(rest.filter(({ ids }) => ids.length));
}

// The decisions that are over: all went to the server, or cannot now.
export const settled = async () => sending;

addEventListener("beforeunload", (event) => unsent.length && event.preventDefault());
