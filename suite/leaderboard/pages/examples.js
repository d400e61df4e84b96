"use strict";
const streams = JSON.parse(document.getElementById("data").textContent), STEP = 60;
const [streamBox, firstBox, secondBox, counts, heading, about, cards, more] =
  ["stream", "first", "second", "counts", "heading", "about", "cards", "more"].map(id => document.getElementById(id));
const KINDS = [
  ["first alone", (a, b) => a > b], ["second alone", (a, b) => a < b],
  ["both right", (a, b) => a === b && a === 100], ["neither", (a, b) => a === b && a < 100],
];
let task = 0, kind = 0, shown = 0, found = [];

// Every text goes in as text: what a data set or a network says never becomes part of the page's code.
function make(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}
function scores(run, place, count) {
  const packed = run.scores[place], bytes = Uint8Array.from(atob(packed.slice(1)), character => character.charCodeAt(0));
  return Array.from({ length: count }, (_, i) => packed[0] === "b" ? 100 * (bytes[i >> 3] >> (7 - (i & 7)) & 1) : bytes[i] / 2);
}
const stream = () => streams[streamBox.value];
const pair = () => [stream().runs[firstBox.value], stream().runs[secondBox.value]];
const called = run => `${run.row}, seed ${run.seed}`;
function fill(box, texts, chosen) {
  box.replaceChildren(...texts.map((text, number) => {
    const option = make("option", text);
    option.value = number;
    return option;
  }));
  box.value = chosen;
}
function split(place) {
  const { count } = stream().tasks[place], [a, b] = pair().map(run => scores(run, place, count));
  return KINDS.map(([, fits]) => a.flatMap((value, i) => fits(value, b[i]) ? [i] : []));
}
function openStream() {
  const runs = stream().runs, titles = runs.map(called), seed = runs[0].seed;
  const second = runs.findIndex((run, number) => number && run.row !== runs[0].row && run.seed === seed);
  fill(firstBox, titles, 0);
  fill(secondBox, titles, second < 0 ? Math.min(1, runs.length - 1) : second);
  task = kind = 0;
  compare();
}
function compare() {
  const head = document.createElement("thead"), body = document.createElement("tbody"), top = head.insertRow();
  const names = ["task", "first right, second wrong", "second right, first wrong", "both right", "neither right"];
  if (isGraded()) names.splice(1, 4, "first better", "second better", "both full score", "equal below that");
  top.append(...names.map(name => { const cell = make("th", name); cell.scope = "col"; return cell; }));
  stream().tasks.forEach((one, place) => {
    const row = body.insertRow(), name = make("th", one.name);
    name.scope = "row";
    row.append(name);
    split(place).forEach((examples, which) => {
      const button = make("button", String(examples.length));
      button.type = "button";
      button.setAttribute("aria-label", `${one.name}: ${names[which + 1]}, ${examples.length}`);
      button.setAttribute("aria-pressed", String(place === task && which === kind));
      button.addEventListener("click", () => {
        [task, kind] = [place, which];
        for (const other of counts.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
        list();
      });
      row.insertCell().append(button);
    });
  });
  counts.replaceChildren(head, body);
  list();
}
const isGraded = () => pair().some(run => run.scores.some(packed => packed[0] === "g"));
function list() {
  const [first, second] = pair(), one = stream().tasks[task];
  found = split(task)[kind];
  const better = isGraded() ? "better" : "right";
  const said = [
    `${one.name}: ${better} by ${called(first)} alone`, `${one.name}: ${better} by ${called(second)} alone`,
    `${one.name}: right by both`, `${one.name}: right by neither`,
  ];
  heading.textContent = said[kind];
  found = [...found].sort((a, b) => (String(b) in one.items) - (String(a) in one.items));
  const seen = found.filter(number => String(number) in one.items).length;
  const counted = `${found.length} example${found.length === 1 ? "" : "s"}`;
  about.textContent = !found.length ? "No example." : !one.known ? `${counted} by number; the data was not at hand when this page was made.`
    : counted + (seen < found.length ? `, of ${seen} this page holds the content.` : ".");
  shown = 0;
  cards.replaceChildren();
  cards.className = Object.values(one.items).some(item => "prompt" in item) ? "texts" : "";
  grow();
}
function grow() {
  const one = stream().tasks[task], runs = [firstBox.value, secondBox.value], values = pair().map(run => scores(run, task, one.count));
  for (const number of found.slice(shown, shown + STEP)) {
    const card = make("li"), item = one.items[number];
    if (item?.image) {
      const image = document.createElement("img");
      image.src = item.image;
      image.alt = `${item.is}, example ${number}`;
      card.append(image);
    }
    if (item?.prompt !== undefined) {
      const prompt = make("p", item.prompt, "prompt");
      prompt.tabIndex = 0;
      card.append(prompt);
    }
    card.append(make("p", item ? `${item.prompt === undefined ? "It is" : "Expected"}: ${item.is}` : `Example ${number}`));
    runs.forEach((run, side) => {
      const answer = item?.said?.[run], value = values[side][number];
      const verdict = value === 100 ? "right" : value === 0 ? "wrong" : `${value} of 100`;
      if (answer !== undefined) card.append(make("p", `${called(stream().runs[run])}: ${verdict}`, "verdict"), make("p", answer));
      else card.append(make("p", `${side ? "second" : "first"}: ${verdict}`, "soft"));
    });
    if (item) card.append(make("p", item.id, "hash"));
    cards.append(card);
  }
  shown += STEP;
  more.hidden = shown >= found.length;
}
fill(streamBox, streams.map(one => one.title), 0);
function openNamed() {
  const named = streams.findIndex(one => `#${one.anchor}` === location.hash);
  if (named >= 0) streamBox.value = named;
  openStream();
}
streamBox.addEventListener("input", openStream);
for (const box of [firstBox, secondBox]) box.addEventListener("input", compare);
more.addEventListener("click", grow);
addEventListener("hashchange", openNamed);
openNamed();
document.documentElement.dataset.ready = "yes";
