// The keyboard, the foot of the page, and the start.

const PAGES = { volume, headphones, verdict, instructions, trials, end };

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
