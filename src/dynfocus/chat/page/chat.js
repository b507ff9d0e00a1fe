"use strict";
const part = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const BANDS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#999999"];
let film = null;
let turns = [];

function say(text, failed = false) {
  part("status").textContent = text;
  part("status").classList.toggle("error", failed);
}

function ready(open) {
  for (const id of ["question", "send", "new"]) part(id).disabled = !open;
}

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", body });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

async function load(file) {
  ready(false);
  say(`Reading ${file.name} …`);
  try {
    film = await post(`/films?name=${encodeURIComponent(file.name)}`, file);
  } catch (error) {
    say(error.message, true);
    ready(film !== null);
    return;
  }
  turns = [];
  const length = film.seconds[film.seconds.length - 1];
  say(`${film.name}: ${film.seconds.length} frames, ${length.toFixed(0)} s`);
  part("timeline").hidden = false;
  part("legend").hidden = true;
  part("chart").replaceChildren();
  part("counts").textContent = "";
  drawStrip(null);
  drawTalk(-1);
  ready(true);
  part("question").focus();
}

async function ask(question) {
  ready(false);
  say("Thinking …");
  try {
    const history = turns.map((turn) => [turn.question, turn.reply]);
    turns.push(await post(`/films/${film.film}/questions`, JSON.stringify({ question, history })));
    say("");
    part("question").value = "";
    choose(turns.length - 1);
  } catch (error) {
    say(error.message, true);
  }
  ready(true);
  part("question").focus();
}

function choose(number) {
  drawTalk(number);
  const look = turns[number].look;
  drawStrip(look);
  drawChart(look);
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function drawTalk(current) {
  const items = turns.map((turn, number) => {
    const item = element("li");
    const forgotten = turn.forgotten ? `, ${turn.forgotten} earlier questions forgotten` : "";
    item.append(
      element("div", turn.question, "asked"),
      element("div", turn.reply || "(no words)", "reply"),
      element("div", `${turn.look.tokens} visual tokens, ${turn.seconds.toFixed(1)} s${forgotten}`, "meta"),
    );
    item.tabIndex = 0;
    item.setAttribute("aria-current", String(number === current));
    item.addEventListener("click", () => choose(number));
    item.addEventListener("keydown", (event) => event.key === "Enter" && choose(number));
    return item;
  });
  part("talk").replaceChildren(...items);
}

function drawStrip(look) {
  const frames = film.seconds.map((second, number) => {
    const cone = look && look.cones[number];
    const known = look && look.cones.length;
    const frame = element("figure", undefined, `frame ${known ? (cone ? "cone" : "rod") : ""}`);
    const image = element("img");
    image.src = `data:image/jpeg;base64,${film.thumbnails[number]}`;
    image.alt = `frame at ${second} s${known ? (cone ? ", cone" : ", rod") : ""}`;
    const tokens = known ? `, ${look.tokens_per_frame[number]} tokens` : "";
    frame.append(image, element("figcaption", `${second.toFixed(0)} s${tokens}`));
    return frame;
  });
  part("strip").replaceChildren(...frames);
}

function shape(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

/* Prototype of each frame, score of each prototype at its centre, tokens of each frame, over one time axis. */
function drawChart(look) {
  const total = film.seconds.length;
  part("legend").hidden = !look.cones.length;
  if (!look.cones.length) {
    part("chart").replaceChildren();
    part("counts").textContent = `${look.tokens} visual tokens; this model selects no frames.`;
    return;
  }
  const [width, left, step] = [1000, 86, (1000 - 96) / total];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} 252`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "Prototypes, scores and tokens along the video");
  const centre = (frame) => left + (frame + 0.5) * step;
  const colour = (frame) => (look.cones[frame] ? "#d55e00" : "#0072b2");
  shape(svg, "text", { x: 0, y: 24 }, "prototype");
  look.prototype_of_frame.forEach((prototype, frame) => {
    const attributes = { x: left + frame * step, y: 8, width: step - 1, height: 24, fill: BANDS[prototype % BANDS.length] };
    shape(shape(svg, "rect", attributes), "title", {}, `frame at ${film.seconds[frame]} s: prototype ${prototype + 1}`);
    if (step > 14) shape(svg, "text", { x: centre(frame), y: 24, "text-anchor": "middle", style: "fill:#1a1a1a" }, prototype + 1);
  });
  shape(svg, "text", { x: 0, y: 90 }, "score");
  [0, 0.5, 1].forEach((value) => {
    const y = 126 - 80 * value;
    shape(svg, "line", { x1: left, x2: width - 10, y1: y, y2: y, stroke: "#e3e3e3" });
    shape(svg, "text", { x: left - 6, y: y + 4, "text-anchor": "end" }, value);
  });
  look.prototype_frames.forEach((frame, prototype) => {
    const y = 126 - 80 * look.scores[prototype];
    shape(svg, "line", { x1: centre(frame), x2: centre(frame), y1: 126, y2: y, stroke: colour(frame), "stroke-width": 2 });
    const dot = shape(svg, "circle", { cx: centre(frame), cy: y, r: 5, fill: colour(frame), stroke: "#1a1a1a" });
    shape(dot, "title", {}, `prototype ${prototype + 1}: score ${look.scores[prototype].toFixed(2)}`);
  });
  shape(svg, "text", { x: 0, y: 190 }, "tokens");
  const most = Math.max(...look.tokens_per_frame, 1);
  [0, most].forEach((value) => {
    shape(svg, "text", { x: left - 6, y: 224 - 70 * (value / most), "text-anchor": "end" }, value);
  });
  look.tokens_per_frame.forEach((tokens, frame) => {
    const height = 70 * (tokens / most);
    shape(svg, "rect", { x: left + frame * step, y: 220 - height, width: Math.max(step - 1, 0.5), height, fill: colour(frame) });
  });
  const every = Math.max(1, Math.ceil(total / 12));
  for (let frame = 0; frame < total; frame += every) {
    shape(svg, "text", { x: centre(frame), y: 240, "text-anchor": "middle" }, `${film.seconds[frame].toFixed(0)} s`);
  }
  part("chart").replaceChildren(svg);
  const cones = look.cones.filter(Boolean).length;
  part("counts").textContent =
    `${cones} of ${total} frames are cones; ${look.scores.length} prototypes; ${look.tokens} visual tokens.`;
}

part("file").addEventListener("change", () => part("file").files.length && load(part("file").files[0]));
part("drop").addEventListener("dragover", (event) => {
  event.preventDefault();
  part("drop").classList.add("over");
});
part("drop").addEventListener("dragleave", () => part("drop").classList.remove("over"));
part("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  part("drop").classList.remove("over");
  if (event.dataTransfer.files.length) load(event.dataTransfer.files[0]);
});
part("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = part("question").value.trim();
  if (question && film) ask(question);
});
part("new").addEventListener("click", () => {
  turns = [];
  drawTalk(-1);
  drawStrip(null);
  part("legend").hidden = true;
  part("chart").replaceChildren();
  part("counts").textContent = "";
});
