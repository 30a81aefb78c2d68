"use strict";
const study = JSON.parse(document.getElementById("study").textContent);
const place = (id) => document.getElementById(id);
const NEEDED = Math.max(0, study.headphones.length - 1); // right answers of the headphone check, as in Woods et al.
const COLUMNS = ["study", "mode", "listener", "kind", "position", "trial", "slot", "clip", "rating", "passed", "plays", "at"];
const LABELS = { 5: "Excellent", 4: "Good", 3: "Fair", 2: "Poor", 1: "Bad" };

// ---- order: the same study and listener, the same order ---------------------------------------------------------

function generator(text) {
  let h = 2166136261; // FNV-1a, then mulberry32
  for (const letter of text) h = Math.imul(h ^ letter.codePointAt(0), 16777619);
  return () => {
    h = (h + 0x6d2b79f5) | 0;
    let t = Math.imul(h ^ (h >>> 15), 1 | h);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(items, random) {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function plan(listener) {
  const random = generator(`${study.study}:${listener}`);
  const checks = shuffled(study.headphones, random);
  let order = [], fewest = Infinity;
  for (let i = 0; i < 50 && fewest > 0; i++) { // the same words twice in a row would be compared, not rated
    const tried = shuffled(study.trials, random);
    const repeats = tried.filter((trial, at) => at > 0 && trial.group === tried[at - 1].group).length;
    if (repeats < fewest) [order, fewest] = [tried, repeats];
  }
  const parts = study.traps.length;
  const spots = study.traps.map((_, k) => {
    const [from, to] = [k, k + 1].map((edge) => Math.floor((edge * order.length) / parts));
    return from + 1 + Math.floor(random() * (to - from)); // never the first
  });
  shuffled(study.traps, random).reverse().forEach((trap, k) => order.splice(spots[parts - 1 - k], 0, { ...trap, trap: true }));
  return { checks, trials: order.map((trial) => ({ ...trial, clips: shuffled(trial.clips, random) })) };
}

// ---- what is kept -----------------------------------------------------------------------------------------------

const prefix = `listening:${study.study}`;
let state = null, order = null;

function alarm(text) {
  place("alarm").textContent = text;
  place("alarm").hidden = false;
}

function store(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    alarm("This browser keeps nothing: do not reload or close the page before you have saved a copy of your answers.");
  }
}

function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

const save = () => store(`${prefix}:of:${state.listener}`, JSON.stringify(state));

function begin(listener) {
  const found = stored(`${prefix}:of:${listener}`);
  state = found ? JSON.parse(found) : {
    listener, started: new Date().toISOString(), finished: null, page: "volume", attempt: 1, checks: [], trial: 0, answers: {},
  };
  order = plan(listener);
  store(`${prefix}:current`, listener);
  save();
  show();
}

function leave() {
  store(`${prefix}:current`, null);
  state = order = null;
  show();
}

function rows() {
  const all = state.checks.map((check, k) => ({
    kind: "headphones", position: k + 1, trial: check.id, slot: 1, clip: check.id, rating: check.rating,
    passed: check.rating === study.headphones.find((known) => known.id === check.id).answer ? 1 : 0,
    plays: check.plays, at: check.at,
  }));
  order.trials.forEach((trial, k) => {
    const answer = state.answers[trial.id];
    if (!answer || answer.ratings.includes(null)) return;
    const passed = trial.trap ? (isPassed(trial, answer) ? 1 : 0) : "";
    trial.clips.forEach((clip, slot) => all.push({
      kind: trial.trap ? "trap" : "rating", position: k + 1, trial: trial.id, slot: slot + 1, clip,
      rating: answer.ratings[slot], passed, plays: answer.plays[slot], at: answer.at,
    }));
  });
  return all.map((row) => ({ study: study.study, mode: study.mode, listener: state.listener, ...row }));
}

function isPassed(trap, answer) {
  if (study.mode === "mushra") return Math.abs(answer.ratings[0] - trap.answer) <= 5;
  if (study.mode === "ab") return answer.ratings[trap.answer - 1] === 1;
  return answer.ratings[0] === trap.answer;
}

function download(kind) {
  const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
  const table = () => [COLUMNS, ...rows().map((row) => COLUMNS.map((name) => row[name]))]
    .map((line) => line.map(quoted).join(",") + "\n").join("");
  const whole = () => JSON.stringify({
    format: 1, study: study.study, mode: study.mode, listener: state.listener, started: state.started,
    finished: state.finished, headphone_attempts: state.attempt, rows: rows(),
  }, null, 1);
  const link = document.createElement("a");
  const type = kind === "csv" ? "text/csv" : "application/json";
  link.href = URL.createObjectURL(new Blob([kind === "csv" ? table() : whole()], { type }));
  link.download = `listening-${study.study}-${state.listener.replace(/[^\p{L}\p{N}]+/gu, "-")}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// ---- parts of pages ---------------------------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const button = (text, action, look = "main-button") => make("button", { type: "button", className: look, onclick: action }, text);
const key = (text) => make("kbd", {}, text);

const ICONS = { play: "M4 2 L14 8 L4 14 Z", pause: "M3 2 H6.5 V14 H3 Z M9.5 2 H13 V14 H9.5 Z" };

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return make("span", { className: "icon", "aria-hidden": "true" }, svg);
}

let players = [];

// A clip can be paused and heard again, but there is nothing to skip with: its end is reached by listening.
function player(clip, name, { heard = false, plays = 0, onheard = () => {} } = {}) {
  const sound = new Audio(`audio/${clip}.wav`);
  sound.preload = "auto";
  const words = make("span", { className: "name" });
  const track = make("i");
  const mark = make("span", { className: "heard" });
  const element = make("button", { type: "button", className: "player" });
  const self = { element, sound, heard, plays, name };
  const draw = () => {
    const now = sound.paused ? "play" : "pause";
    words.textContent = [sound.paused ? "Play" : "Pause", name, sound.paused && self.plays ? "again" : ""].filter(Boolean).join(" ");
    mark.replaceChildren(...(self.heard ? ["✓", make("span", {}, " heard")] : []));
    element.replaceChildren(icon(now), make("span", { className: "words" }, words, make("span", { className: "track", "aria-hidden": "true" }, track)), mark);
  };
  self.toggle = () => {
    if (!sound.paused) return sound.pause();
    players.filter((other) => other !== self).forEach((other) => other.stop());
    sound.play().catch(() => {}); // the error event tells
  };
  self.stop = () => {
    sound.pause();
    sound.currentTime = 0;
  };
  sound.onplay = sound.onpause = draw;
  sound.ontimeupdate = () => track.style.setProperty("--played", sound.duration ? sound.currentTime / sound.duration : 0);
  sound.onended = () => {
    self.heard = true;
    self.plays += 1;
    draw();
    track.style.setProperty("--played", 1);
    onheard(self);
  };
  sound.onerror = () => alarm(`The file audio/${clip}.wav cannot be played. Is the folder audio beside this page?`);
  element.onclick = self.toggle;
  draw();
  players.push(self);
  return self;
}

function choices(legend, options, picked, checked = null) {
  const radios = options.map(([value, text]) => {
    const input = make("input", { type: "radio", name: "choice", value, checked: value === checked });
    input.onchange = () => picked(value);
    return make("label", { className: "choice" }, input, make("b", {}, String(value)), make("span", {}, text));
  });
  const group = make("fieldset", {}, make("legend", {}, legend), make("div", { className: "choices" }, ...radios));
  group.pick = (value) => {
    const input = group.querySelector(`input[value="${value}"]`);
    if (!input || group.disabled) return false;
    input.checked = true;
    picked(value);
    return true;
  };
  return group;
}

// ---- pages ------------------------------------------------------------------------------------------------------

let view = {}; // what the keys do on this page: space, digit, letter, next; isReady says whether next would succeed

function page(title, ...children) {
  place("view").replaceChildren(make("h1", { tabIndex: -1 }, title), ...children);
  place("alarm").hidden ||= !place("alarm").textContent.startsWith("This browser");
  hint("");
}

function hint(text, asked = false) {
  place("hint").textContent = text;
  place("hint").classList.toggle("asked", asked);
}

function show() {
  players.forEach((other) => other.stop());
  players = [];
  view = {};
  place("view").className = state?.page === "headphones" ? "check" : "";
  place("progress").hidden = !state || !["headphones", "trials"].includes(state.page);
  place("foot").hidden = !state;
  place("who").textContent = state?.listener ?? "";
  (state ? PAGES[state.page] : welcome)();
  (document.querySelector("main input[type=text]") ?? document.querySelector("main h1")).focus();
  scrollTo(0, 0);
}

function go(name) {
  state.page = name;
  save();
  show();
}

function progress(done, total, what) {
  place("count").textContent = `${what} ${done + 1} of ${total}`;
  place("bar").value = done / total;
  place("bar").setAttribute("aria-valuetext", place("count").textContent);
}

function forward(text, action) {
  view.next = action;
  return make("div", { className: "row end" }, button(text, action));
}

function welcome() {
  const name = make("input", { type: "text", id: "listener", maxLength: 64, autocomplete: "off", required: true, spellcheck: false });
  const start = (event) => {
    event.preventDefault();
    const listener = name.value.normalize("NFC").trim().replace(/\s+/g, " ").toLowerCase();
    if (!/^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._@'-]*$/u.test(listener)) {
      hint("Please give a name or a code: letters and digits first, then also spaces and . _ @ ' -", true);
      return name.focus();
    }
    begin(listener);
  };
  const things = study.mode === "acr" ? "say how natural each of them sounds" : study.mode === "ab" ? "say which of two sounds better" : "say how good each of them is";
  const n = study.trials.length + study.traps.length;
  page(
    "Thank you for listening",
    make("p", {}, `You will hear short recordings of speech and ${things}. There are ${n} ${study.mode === "acr" ? "recordings" : "pages"} to rate. There are no right or wrong opinions: yours is what counts.`),
    make("ul", {},
      make("li", {}, "Sit in a quiet room."),
      make("li", {}, "Put on headphones, the left one on the left ear."),
      make("li", {}, "Take a break whenever you like: answers stay in this browser, and nothing is sent anywhere. At the end you save them as a file."),
    ),
    make("form", { onsubmit: start, noValidate: true },
      make("label", { className: "field", htmlFor: "listener" }, "Your name or code", name),
      make("div", { className: "row end" }, make("button", { type: "submit", className: "main-button" }, "Start")),
    ),
    make("p", { className: "muted keys" }, "Everything works from the keyboard too: ", key("Tab"), " moves, ", key("Enter"), " goes on, ", key("Space"), " plays."),
  );
}

function volume() {
  const clip = player(study.example, "an example", { onheard: () => hint("Loud enough? Then go on.") });
  Object.assign(view, { space: clip.toggle, isReady: () => clip.heard });
  page(
    "Set the volume",
    make("p", {}, "Play the example and set the volume of your device so that the voice is clear and comfortable. Leave it there until the end."),
    clip.element,
    forward("Volume is right", () => {
      if (!clip.heard) return hint("Play the example to its end first.", true);
      go(study.headphones.length ? "headphones" : "instructions");
    }),
    make("p", { className: "muted keys" }, key("Space"), " plays, ", key("Enter"), " goes on."),
  );
}

function headphones() {
  const known = order.checks[state.checks.length];
  progress(state.checks.length, order.checks.length, "Headphone check");
  let rating = null;
  const next = () => {
    if (!clip.heard) return hint("Play the three tones to their end first.", true);
    if (rating === null) return hint("Which tone was the quietest? Choose 1, 2 or 3.", true);
    state.checks.push({ id: known.id, rating, plays: clip.plays, at: new Date().toISOString() });
    const right = state.checks.filter((check) => study.headphones.find((one) => one.id === check.id).answer === check.rating);
    if (state.checks.length < order.checks.length) return go("headphones");
    go(right.length >= NEEDED ? "instructions" : "verdict");
  };
  const on = button("Next", next);
  const group = choices("Which tone is the quietest?", [[1, "First"], [2, "Second"], [3, "Third"]], (value) => {
    rating = value;
    on.disabled = false;
    hint("Press Enter or Next to go on.");
  });
  const clip = player(known.id, "three tones", { onheard: () => {
    group.disabled = false;
    if (rating === null) hint("Which one was the quietest?");
  } });
  group.disabled = on.disabled = true;
  view = { space: clip.toggle, digit: group.pick, next, isReady: () => !on.disabled };
  page(
    "Headphone check",
    make("p", {}, "Three tones follow each other. Say which one is the quietest."),
    clip.element, group, make("div", { className: "row end" }, on), keys("1–3"),
  );
  hint("Play the three tones.");
}

function verdict() {
  const again = () => {
    state.attempt += 1;
    state.checks = [];
    go("headphones");
  };
  page(
    "This does not sound like headphones",
    make("p", {}, "Some tones were not heard as they are over headphones. Are they plugged in, on both ears, and is the sound set to stereo, without any surround effect?"),
    state.attempt === 1
      ? make("div", { className: "row end" }, button("Go on without", () => go("instructions"), "second-button"), button("Check once more", again))
      : make("p", {}, "You can go on, but your answers may not be counted."),
    ...(state.attempt === 1 ? [] : [forward("Go on", () => go("instructions"))]),
  );
  if (state.attempt === 1) view.next = again;
}

const TRAP_TEXT = {
  acr: "Some recordings end in short beeps. They ask you for a number: count the beeps and choose that number, whatever the speech sounds like.",
  ab: "Some recordings end in short beeps. They ask you for an answer, whatever the speech sounds like: one beep means choose A, two beeps mean choose B.",
  mushra: "Some recordings end in short beeps. They ask you for a number, whatever the speech sounds like: set the slider to 10 for each beep, so 20 for two beeps.",
};
const TRAP_REMINDER = {
  acr: "Does it end in beeps? Then choose their number.",
  ab: "Does one end in beeps? One beep: choose A, two beeps: choose B.",
  mushra: "Does one end in beeps? Then give it 10 for each beep.",
};
const TRAP_EXAMPLE = {
  acr: `This example ends in ${study.example_beeps} beeps: you would choose ${study.example_beeps}.`,
  ab: `This example ends in ${study.example_beeps} beeps: you would choose B.`,
  mushra: `This example ends in ${study.example_beeps} beeps: you would set its slider to ${10 * study.example_beeps}.`,
};

function instructions() {
  const scale = {
    acr: [make("p", {}, "Listen to each recording to its end. Then say how natural it sounds, on this scale:"),
      make("ul", {}, ...[5, 4, 3, 2, 1].map((n) => make("li", {}, make("b", {}, `${n} `), LABELS[n])))],
    ab: [make("p", {}, "Each page has two recordings of the same words, A and B. Listen to both to their ends. Then say which one sounds more natural, or that you hear no difference.")],
    mushra: [make("p", {}, `Each page has several recordings of the same words${study.trials[0].reference ? " and a reference, which is how they should sound. One of the recordings is the reference itself" : ""}. Listen to each to its end and give it 0 to 100 points for its quality:`),
      make("ul", {}, ...[["80 to 100", "Excellent"], ["60 to 80", "Good"], ["40 to 60", "Fair"], ["20 to 40", "Poor"], ["0 to 20", "Bad"]].map(([points, label]) => make("li", {}, make("b", {}, `${points} `), label)))],
  }[study.mode];
  const passed = state.checks.length && state.page === "instructions" && isHeard();
  const parts = [...(passed ? [make("p", { className: "good" }, "Your headphones are fine.")] : []), ...scale];
  const begin = () => go("trials");
  if (study.traps.length) {
    const clip = player(study.example, "the example with beeps");
    view.space = clip.toggle;
    parts.push(make("p", {}, TRAP_TEXT[study.mode]), clip.element, make("p", { className: "muted" }, TRAP_EXAMPLE[study.mode]));
  }
  page("What to do", ...parts, forward("Begin", begin));
}

const isHeard = () => state.checks.filter((check) => study.headphones.find((one) => one.id === check.id).answer === check.rating).length >= NEEDED;

function keys(digits) {
  return make("p", { className: "muted keys" }, key("Space"), " plays, ", key(digits), " answer, ", key("Enter"), " or ", key("→"), " goes on.");
}

function trials() {
  const trial = order.trials[state.trial];
  progress(state.trial, order.trials.length, study.mode === "acr" ? "Recording" : "Page");
  const n = trial.clips.length;
  const answer = (state.answers[trial.id] ??= { ratings: Array(n).fill(null), plays: Array(n).fill(0), heard: Array(n).fill(false), at: null });
  const keep = () => {
    answer.at = new Date().toISOString();
    save();
  };
  const isAllHeard = () => answer.heard.every(Boolean);
  const next = () => {
    if (!isAllHeard()) return hint(n > 1 ? "Play every recording to its end first." : "Play the recording to its end first.", true);
    if (answer.ratings.includes(null)) return hint(ASK[study.mode], true);
    state.trial += 1;
    if (state.trial < order.trials.length) return go("trials");
    state.finished = new Date().toISOString();
    go("end");
  };
  const on = button("Next", next);
  const draw = () => {
    on.disabled = answer.ratings.includes(null) || !isAllHeard();
    if (!isAllHeard()) hint(n > 1 ? "Play every recording to its end." : "Play the recording to its end.");
    else hint(on.disabled ? ASK[study.mode] : "Press Enter or Next to go on.");
  };
  const heard = (slot, then) => (clip) => {
    answer.heard[slot] = true;
    answer.plays[slot] = clip.plays;
    then();
    draw();
    save();
  };
  const parts = { acr, ab, mushra }[study.mode](trial, answer, { heard, keep, draw, isAllHeard });
  Object.assign(view, { next, isReady: () => !on.disabled });
  const reminder = study.traps.length ? [make("p", { className: "muted reminder" }, TRAP_REMINDER[study.mode])] : [];
  page(TITLES[study.mode], ...parts, ...reminder, make("div", { className: "row end" }, on), keys(...({ acr: ["1–5"], ab: ["1–3"], mushra: [`1–${n}`] }[study.mode])));
  if (study.mode === "mushra") place("view").lastChild.replaceChildren(
    key("Space"), " plays the next one, ", key(`1–${n}`), " play that one, ", ...(trial.reference ? [key("0"), " plays the reference, "] : []),
    key("←"), " ", key("→"), " move a slider, ", key("Tab"), " goes to the next, ", key("Enter"), " goes on.");
  if (study.mode === "ab") place("view").lastChild.prepend(key("A"), " ", key("B"), " or ");
  draw();
}

const TITLES = { acr: "How natural does this speech sound?", ab: "Which one sounds more natural?", mushra: "How good is each recording?" };
const ASK = { acr: "Now choose 1 to 5.", ab: "Now choose A, B or no difference.", mushra: "Move every slider to your rating." };

function acr(trial, answer, { heard, keep, draw }) {
  const group = choices("Your rating", [5, 4, 3, 2, 1].map((n) => [n, LABELS[n]]), (value) => {
    answer.ratings[0] = value;
    keep();
    draw();
  }, answer.ratings[0]);
  const clip = player(trial.clips[0], "", { heard: answer.heard[0], plays: answer.plays[0], onheard: heard(0, () => { group.disabled = false; }) });
  group.disabled = !answer.heard[0];
  Object.assign(view, { space: clip.toggle, digit: group.pick });
  return [clip.element, group];
}

function ab(trial, answer, { heard, keep, draw, isAllHeard }) {
  const before = answer.ratings.includes(null) ? null : { 1: 1, 0: 2, 0.5: 3 }[answer.ratings[0]];
  const group = choices("Your choice", [[1, "A is better"], [2, "B is better"], [3, "No difference"]], (value) => {
    answer.ratings = [[1, 0], [0, 1], [0.5, 0.5]][value - 1];
    keep();
    draw();
  }, before);
  const pair = trial.clips.map((id, slot) => player(id, "AB"[slot], {
    heard: answer.heard[slot], plays: answer.plays[slot], onheard: heard(slot, () => { group.disabled = !isAllHeard(); }),
  }));
  group.disabled = !isAllHeard();
  Object.assign(view, { space: () => nextUnheard(pair).toggle(), digit: group.pick, letter: (letter) => pair["ab".indexOf(letter)]?.toggle() });
  return [make("div", { className: "pair" }, ...pair.map((clip) => clip.element)), group];
}

function mushra(trial, answer, { heard, keep, draw }) {
  const reference = trial.reference ? [player(trial.reference, "the reference", { plays: 0 })] : [];
  const sliders = [];
  const clips = trial.clips.map((id, slot) => player(id, `${slot + 1}`, {
    heard: answer.heard[slot], plays: answer.plays[slot], onheard: heard(slot, () => { sliders[slot].disabled = false; }),
  }));
  const cells = clips.flatMap((clip, slot) => {
    const given = answer.ratings[slot];
    const value = make("output", { id: `value-${slot}` }, given ?? "–");
    const slider = make("input", { type: "range", min: 0, max: 100, step: 1, value: given ?? 0, disabled: !answer.heard[slot], "aria-label": `Rating of recording ${slot + 1}` });
    slider.oninput = () => {
      value.textContent = answer.ratings[slot] = Number(slider.value);
      keep();
      draw();
    };
    slider.onclick = slider.oninput; // 0, where the slider stands, is a rating too
    slider.clip = clip;
    sliders.push(slider);
    return [clip.element, slider, value];
  });
  const scale = make("div", { className: "scale", "aria-hidden": "true" }, ...[1, 2, 3, 4, 5].map((n) => make("span", {}, LABELS[n])));
  Object.assign(view, {
    space: (target) => (target?.clip ?? nextUnheard([...reference, ...clips])).toggle(),
    digit: (n) => (n === 0 ? reference[0] : clips[n - 1])?.toggle(),
  });
  return [...reference.map((clip) => clip.element), make("div", { className: "sliders" }, scale, ...cells)];
}

let last = null;

function nextUnheard(clips) {
  last = clips.find((clip) => !clip.sound.paused) ?? clips.find((clip) => !clip.heard) ?? (clips.includes(last) ? last : clips[0]);
  return last;
}

function end() {
  page(
    "Done, thank you",
    make("p", {}, "Please save your answers and send the file to whoever asked you to listen. One of the two formats is enough."),
    make("div", { className: "row" }, button("Save as CSV", () => download("csv")), button("Save as JSON", () => download("json"), "second-button")),
    make("p", { className: "muted" }, `${order.trials.length} of ${order.trials.length} rated. The answers also stay in this browser.`),
  );
  view.next = () => download("csv");
}

const PAGES = { volume, headphones, verdict, instructions, trials, end };

// ---- keys -------------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input[type=text]")) return;
  // whoever clicked a player still has it in focus: Enter then goes on, as soon as it can
  const isButton = target.matches("button") && !(event.key === "Enter" && target.matches(".player") && view.isReady?.());
  const isPicked = target.matches("input[type=radio]:checked, input[type=range]");
  if (event.key === " " && view.space && !isButton && (isPicked || !target.matches("input"))) {
    event.preventDefault();
    if (!event.repeat) view.space(target);
  } else if (event.key === "Enter" && view.next && !isButton || event.key === "ArrowRight" && view.next && !target.matches("input")) {
    event.preventDefault();
    if (!event.repeat) view.next();
  } else if (/^[0-9]$/.test(event.key) && view.digit && !event.repeat) {
    if (view.digit(Number(event.key)) === false) hint("Play to the end first, and choose one of the numbers shown.", true);
  } else if (/^[ab]$/i.test(event.key) && view.letter && !event.repeat) view.letter(event.key.toLowerCase());
});

place("csv-now").onclick = () => download("csv");
place("json-now").onclick = () => download("json");
place("other").onclick = leave;

const current = stored(`${prefix}:current`);
if (current) begin(current);
else show();
