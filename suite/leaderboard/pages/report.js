"use strict";
const value = (row, column) => row.cells[column].dataset.value ?? "";
const number = text => text === "" || isNaN(text) ? null : Number(text);
function compare(one, other, sign) {
  if (one === "" || other === "") return (one === "") - (other === "");
  const [a, b] = [number(one), number(other)];
  return sign * (a !== null && b !== null ? a - b : one.localeCompare(other));
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table"), column = head.cellIndex, body = table.tBodies[0];
    const rows = [...body.rows], hasNumbers = rows.some(row => number(value(row, column)) !== null);
    const before = head.getAttribute("aria-sort");
    const order = before === "none" ? (hasNumbers ? "descending" : "ascending") : before === "descending" ? "ascending" : "descending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    body.append(...rows.sort((a, b) => compare(value(a, column), value(b, column), sign)));
  });
}
// What a column means, beside its head for mouse and keyboard alike.
const tip = document.getElementById("tip");
for (const button of document.querySelectorAll("th button[title]")) {
  button.dataset.tip = button.title;
  button.removeAttribute("title");
  button.setAttribute("aria-describedby", "tip");
}
function explain(event) {
  const head = event.target.closest?.("[data-tip]");
  tip.hidden = !head;
  if (!head) return;
  tip.textContent = head.dataset.tip;
  const place = head.getBoundingClientRect(), above = place.bottom + tip.offsetHeight + 12 > innerHeight;
  tip.style.left = `${Math.max(8, Math.min(place.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${above ? place.top - tip.offsetHeight - 6 : place.bottom + 6}px`;
}
for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, explain);
document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });
document.addEventListener("scroll", () => { tip.hidden = true; }, { capture: true, passive: true });
// Paper cannot be clicked: everything is open on it.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const part of closed) part.open = true;
});
addEventListener("afterprint", () => { for (const part of closed) part.open = false; });
// A link into a folded part opens it.
function unfold() {
  const part = location.hash && document.getElementById(location.hash.slice(1));
  const fold = part && (part.querySelector("details.fold") ?? part.closest("details"));
  if (fold) fold.open = true;
}
addEventListener("hashchange", unfold);
unfold();
const [words, benchmark, best, shown, nothing] = ["words", "benchmark", "top", "shown", "nothing"].map(id => document.getElementById(id));
const streams = [...document.querySelectorAll("section.stream")].map(section => ({
  section, rows: [...section.querySelector("table.board").tBodies[0].rows].map(row => ({ row, text: row.textContent.toLowerCase() })),
}));
function filter() {
  const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0, all = 0;
  for (const { section, rows } of streams) {
    const fits = benchmark.value === "" || section.dataset.benchmark === benchmark.value;
    let here = 0;
    for (const { row, text } of rows) {
      row.hidden = !asked.every(word => text.includes(word)) || (best.checked && !row.classList.contains("marked"));
      here += !row.hidden;
    }
    section.hidden = !fits || here === 0;
    if (asked.length && here) section.querySelector("details.fold").open = true;
    all += rows.length;
    left += section.hidden ? 0 : here;
  }
  shown.textContent = `${left} of ${all} rows`;
  nothing.hidden = left > 0;
}
for (const control of [words, benchmark, best]) control.addEventListener("input", filter);
filter();
document.documentElement.dataset.ready = "yes";
