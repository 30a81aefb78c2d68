// Pages before the trials: welcome, volume, headphone check, instructions.

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
