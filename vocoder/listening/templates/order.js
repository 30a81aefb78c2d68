// The study, and the order of its checks and trials: the same for the same study and listener.
const study = JSON.parse(document.getElementById("study").textContent);
const place = (id) => document.getElementById(id);
const NEEDED = Math.max(0, study.headphones.length - 1); // right answers of the headphone check, as in Woods et al.
const COLUMNS = ["study", "mode", "listener", "kind", "position", "trial", "slot", "clip", "rating", "passed", "plays", "at"];
const LABELS = { 5: "Excellent", 4: "Good", 3: "Fair", 2: "Poor", 1: "Bad" };

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
