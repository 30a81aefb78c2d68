// Requests to the server, whose refusals are sentences.

import { corpus } from "./state.js";

const SILENT = "The review server does not answer. Is `clean-corpus review` still running?";

export class Refusal extends Error {}

export function address(path, params = {}) {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined) said.set(name, typeof value === "object" ? JSON.stringify(value) : value);
  }
  return said.size ? `api/${path}?${said}` : `api/${path}`;
}

export const clipAddress = (clipId, part = "", params = {}) =>
  address(`clips/${encodeURIComponent(clipId)}${part}`, part ? { ...params, v: corpus.version } : params);

async function ask(where, options) {
  let answer;
  try {
    answer = await fetch(where, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(SILENT);
  }
  if (answer.ok) return answer;
  let said = null;
  try {
    said = (await answer.json()).error;
  } catch {
    // not an answer of the program: a proxy's, or a crash
  }
  const refusal = new Refusal(typeof said === "string" ? said : `The review server answered ${answer.status} to ${where}.`);
  refusal.status = answer.status;
  throw refusal;
}

export const get = async (path, params, options) => (await ask(address(path, params), options)).json();
export const text = async (path, params, options) => (await ask(address(path, params), options)).text();
export const bytes = async (where, options) => (await ask(where, options)).arrayBuffer();
export const json = async (where, options) => (await ask(where, options)).json();

export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(address(path), { method: "POST", headers, body: JSON.stringify(body) })).json();
}
