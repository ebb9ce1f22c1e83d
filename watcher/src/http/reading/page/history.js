// One key's history: its values as steps over time with the deployments beside them, and the same as a table.

import { ask, events } from "./state.js";
import { by, clock, draw, make, short, timestamp, value, when, writer } from "./words.js";

const plot = document.getElementById("history-plot");
const table = document.getElementById("history-table");
const now = document.getElementById("history-now");
const title = document.getElementById("history-title");

/** How many changes of one key are asked for. */
const MOST = 1000;

/** How many rows of the table are shown. */
const ROWS = 50;

let turn = 0;
let last = null;

// The picture is as wide as there is room for, so that its words keep their size.
new ResizeObserver(() => last && plot.replaceChildren(...picture(...last))).observe(plot);

/** Shows a key. What was asked for before and comes late is not shown any more. */
export async function show(key, watched) {
  const mine = ++turn;
  if (!key) {
    last = null;
    title.textContent = "History of a key";
    now.textContent = "Which values a key had, who wrote them, and under which deployment.";
    plot.replaceChildren();
    table.replaceChildren();
    return;
  }
  const answer = await ask(`/api/v1/changes?limit=${MOST}&key=${encodeURIComponent(key)}`);
  if (mine !== turn) return;
  title.textContent = `History of ${key}`;
  if (!answer) {
    now.textContent = "The history cannot be had now.";
    return;
  }
  const changes = answer.entries.filter((entry) => entry.kind === "change");
  const rules = watched?.rules ?? [];
  const expected = rules.map((rule) => `${rule.expected} (rule ${rule.rule})`).join(", and ");
  const is = watched ? (watched.readable ? value(watched.actual) : "not readable") : "not declared now";
  now.textContent = `Now: ${is}.${expected ? ` Expected: ${expected}.` : ""} ${changes.length} changes on record.`;
  last = [key, changes, watched];
  plot.replaceChildren(...picture(...last));
  table.replaceChildren(...rows(answer.entries));
}

/** The values as a step line: numbers by size, other values one level each. */
function picture(key, changes, watched) {
  if (changes.length === 0) return [];
  const numbers = changes.flatMap((change) => [change.previous, change.actual]).filter((text) => text !== null);
  const numeric = numbers.length > 0 && numbers.every((text) => /^-?\d+(\.\d+)?$/.test(text));
  const levels = [...new Set(numbers)].sort();
  const places = (text) => (numeric ? /^-?\d+(\.\d+)?$/.test(text) : levels.includes(text));
  const expects = watched?.rules.map((rule) => rule.expected).find(places);
  if (numeric && places(watched?.actual)) numbers.push(watched.actual);
  const number = numbers.map(Number).concat(numeric && expects !== undefined ? [Number(expects)] : []);
  const [least, most] = [Math.min(...number), Math.max(...number)];
  const width = Math.max(280, plot.clientWidth);
  const height = numeric ? 240 : Math.min(360, 70 + levels.length * 28);
  const [left, right, top, bottom] = [110, 16, 26, 28];
  const from = Date.parse(changes[0].time);
  const to = Math.max(Date.now(), from + 1000);
  // The deployment before the first change belongs to the story, where it is not long before.
  const before = events.findLast((event) => event.kind === "deployment" && event.status === "finished" && event.at <= from);
  const start = Math.max(before?.at ?? 0, from - (to - from) * 0.25) - (to - from) * 0.04;
  const x = (time) => left + ((time - start) / (to - start)) * (width - left - right);
  const y = (text) => {
    const share = numeric
      ? (Number(text) - least) / (most - least || 1)
      : levels.length === 1 ? 0.5 : levels.indexOf(text) / (levels.length - 1);
    return height - bottom - 12 - share * (height - top - bottom - 24);
  };

  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", class: "steps" });
  svg.append(draw("title", {}, `The values of ${key} over time; the table below has them too`));
  const shown = numeric ? [...new Set([least, (least + most) / 2, most])].map(String) : levels;
  for (const text of shown) {
    const label = text.length > 14 ? `${text.slice(0, 13)}…` : text;
    svg.append(
      draw("line", { x1: left, x2: width - right, y1: y(text), y2: y(text), class: "grid" }),
      draw("text", { x: left - 8, y: y(text), class: "label end" }, label),
    );
  }
  const parts = width < 560 ? 2 : 4;
  for (let i = 0; i <= parts; i++) {
    const time = start + ((to - start) * i) / parts;
    const text = to - start > 86_400_000 ? when(time).slice(5, 16) : clock(time);
    svg.append(draw("text", { x: x(time), y: height - 8, class: `label ${i === 0 ? "" : i === parts ? "end" : "middle"}` }, text));
  }
  // One that came into force before what is shown stands at its edge, with an arrow.
  let free = 0;
  for (const event of events) {
    if (event.kind !== "deployment" || event.status !== "finished" || (event.at < start && event !== before)) continue;
    const pixel = Math.max(left, x(event.at));
    svg.append(draw("line", { x1: pixel, x2: pixel, y1: top - 6, y2: height - bottom, class: "deployed" }));
    if (pixel > free && pixel < width - 90) {
      svg.append(draw("text", { x: pixel + 4, y: top - 10, class: "label commit" }, `${event.at < start ? "← " : ""}${short(event.commit)}`));
      free = pixel + 100;
    }
  }
  if (expects !== undefined) {
    svg.append(draw("line", { x1: left, x2: width - right, y1: y(expects), y2: y(expects), class: "expected" }));
  }
  // Where the key was absent, the line has a gap.
  let path = "";
  let level = changes[0].previous;
  if (level !== null) path += `M${left} ${y(level)}`;
  for (const change of changes) {
    const pixel = x(Date.parse(change.time));
    if (level !== null) path += `H${pixel}`;
    if (change.actual !== null) path += `${level === null ? "M" : "L"}${pixel} ${y(change.actual)}`;
    level = change.actual;
  }
  // What it is now is not what it was changed to last: that happened while nobody looked, and when is not known.
  const now = watched?.readable ? watched.actual : level;
  if (now !== level && places(now) && level !== null) {
    const seen = x(Date.parse(changes.at(-1).time));
    svg.append(draw("path", { d: `M${seen} ${y(level)}L${x(to)} ${y(now)}`, class: "value unknown" }));
    svg.append(draw("circle", { cx: x(to), cy: y(now), r: 4, class: "dot" }, draw("title", {}, `now ${value(now)}`)));
  } else if (level !== null && now === level) path += `H${x(to)}`;
  svg.append(draw("path", { d: path, class: "value" }));
  if (changes.length <= 200) {
    for (const change of changes) {
      const text = change.actual ?? change.previous;
      if (text === null) continue;
      const dot = draw("circle", { cx: x(Date.parse(change.time)), cy: y(text), r: 4, class: "dot" });
      dot.append(draw("title", {}, `${when(change.time)} ${value(change.previous)} → ${value(change.actual)}, ${by(change.writer)}`));
      svg.append(dot);
    }
  }
  return [svg];
}

function rows(entries) {
  if (entries.length === 0) return [];
  const body = make("tbody");
  for (const entry of entries.slice(-ROWS).reverse()) {
    const what = entry.kind === "change" ? `${value(entry.previous)} → ${value(entry.actual)}` : `${value(entry.actual)}, write ${entry.reason}`;
    body.append(
      make("tr", {},
        make("td", {}, timestamp(entry.time)),
        make("td", {}, what),
        make("td", {}, writer(entry.writer)),
        make("td", {}, entry.commit ? short(entry.commit) : "–"),
        make("td", {}, entry.seen_by)),
    );
  }
  const heads = ["When", "Value", "Writer", "Commit", "Seen by"].map((text) => make("th", { scope: "col" }, text));
  const all = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  const note = entries.length > ROWS ? [make("p", { class: "quiet small" }, `The last ${ROWS} of ${entries.length}.`)] : [];
  return [make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Changes of the key" }, all), ...note];
}
