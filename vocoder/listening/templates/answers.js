// Answers: kept in the browser's storage, and saved as CSV or JSON.

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
