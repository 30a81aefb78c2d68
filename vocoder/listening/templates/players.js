// Parts of pages: elements, buttons, players of a clip, choices.

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
