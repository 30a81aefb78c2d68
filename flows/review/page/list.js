// The clips under the filter, in its order, fetched in blocks as they are looked at.

import { get } from "./api.js";
import { alarm, emit } from "./dom.js";
import { corpus, query, state } from "./state.js";

const BLOCK = 100;
const KEPT = 50; // blocks that stay in memory

export const list = { total: 0, hours: 0, kept_hours: 0, isLoading: true };

let blocks = new Map();
let waited = new Map();
let generation = 0;

function fetchBlock(number) {
  const waiting = waited.get(number);
  if (waiting) return waiting;
  const now = generation;
  const coming = get("clips", { ...query(), offset: number * BLOCK, limit: BLOCK }).then((answer) => {
    if (now !== generation) return answer;
    if (answer.version !== corpus.version) emit("published"); // by another reviewer, or a run
    waited.delete(number);
    blocks.set(number, answer.clips);
    if (blocks.size > KEPT) blocks.delete(blocks.keys().next().value);
    Object.assign(list, { total: answer.total, hours: answer.hours, kept_hours: answer.kept_hours });
    return answer;
  });
  coming.catch(() => now === generation && waited.delete(number));
  waited.set(number, coming);
  return coming;
}

// Reads the list anew; the block of the clip that was looked at comes first.
export async function refresh() {
  generation += 1;
  const now = generation;
  waited = new Map();
  list.isLoading = true;
  emit("loading");
  try {
    const old = blocks;
    let answer = await fetchBlock(Math.floor(Math.max(state.at, 0) / BLOCK));
    if (now !== generation) return;
    if (!answer.clips.length && state.at > 0) {
      state.at = Math.max(answer.total - 1, 0);
      answer = await fetchBlock(Math.floor(state.at / BLOCK));
      if (now !== generation) return;
    }
    for (const number of old.keys()) if (old.get(number) !== answer.clips) blocks.delete(number);
    blocks.set(Math.floor(Math.max(state.at, 0) / BLOCK), answer.clips);
    list.isLoading = false;
    emit("list");
  } catch (error) {
    if (now !== generation) return;
    list.isLoading = false;
    alarm(error, refresh);
    emit("loading");
  }
}

export function row(index) {
  return blocks.get(Math.floor(index / BLOCK))?.[index % BLOCK];
}

// The row if it is there; else it is fetched, and "rows" tells when it came.
export function want(index) {
  const found = row(index);
  if (!found && index >= 0 && index < list.total && !list.isLoading) {
    fetchBlock(Math.floor(index / BLOCK)).then(() => emit("rows"), (error) => alarm(error, () => want(index)));
  }
  return found;
}

export async function rowAt(index) {
  const found = row(index);
  if (found) return found;
  const answer = await fetchBlock(Math.floor(index / BLOCK));
  return answer.clips[index % BLOCK];
}

// The place of a clip among the rows that are there, the nearest to where it was; -1 if it is not.
export function indexOf(clipId, near = 0) {
  const found = [];
  for (const [number, rows] of blocks) {
    const at = rows.findIndex((one) => one.clip_id === clipId);
    if (at >= 0) found.push(number * BLOCK + at);
  }
  return found.sort((a, b) => Math.abs(a - near) - Math.abs(b - near))[0] ?? -1;
}

// Rows as they are after a decision; those that no longer match the filter stay until the list is read anew.
export function update(rows) {
  const fresh = new Map(rows.map((one) => [one.clip_id, one]));
  for (const [number, old] of blocks) {
    if (old.some((one) => fresh.has(one.clip_id))) blocks.set(number, old.map((one) => fresh.get(one.clip_id) ?? one));
  }
  emit("rows");
}
