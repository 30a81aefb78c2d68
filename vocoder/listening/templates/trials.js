// Pages of trials, one function for each mode, and the last page.

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
