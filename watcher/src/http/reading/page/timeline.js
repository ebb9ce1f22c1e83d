// The timeline: one axis of time, a lane for each key, and every deployment as a line through all of them, so that it is
// seen with which commit a value left. Drawn on a canvas: ten thousand events are one loop over an array.

import { events, findings } from "./state.js";
import { clock, kind, sentence, short, when } from "./words.js";

const LANES = 10;
const TOP = 34;
const BOTTOM = 24;
const SHORTEST = 10_000;

const plot = document.getElementById("plot");
const canvas = document.getElementById("canvas");
const at = document.getElementById("timeline-at");
const pen = canvas.getContext("2d");

// Where names stand in their lanes and not beside them, lanes are higher.
let laneHeight = 26;

// What is shown: a time from, a time to; `following` as long as the right end is now.
let view = { from: Date.now() - 3_600_000, to: Date.now() };
let span = 0;
let following = true;
let selected = null;
let colours = {};
let lanes = [];
let chosen = () => {};

export function onChosen(callback) {
  chosen = callback;
}

/** The lanes: keys with an open finding first, then those that moved last; the rest share one. */
function layOut() {
  const keys = new Set();
  for (const finding of findings.values()) if (finding.to === null && keys.size < LANES) keys.add(finding.key);
  for (let i = events.length - 1; i >= 0 && keys.size < LANES; i--) if (events[i].key) keys.add(events[i].key);
  lanes = [...keys].sort();
  const known = new Set(lanes);
  if (events.some((event) => event.key && !known.has(event.key))) lanes.push(null);
  laneHeight = margin() > 100 ? 26 : 40;
  const height = TOP + BOTTOM + Math.max(1, lanes.length) * laneHeight;
  plot.style.height = `${height}px`;
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "quiet", "line", "paper", "raised", "blue", "orange", "red", "violet", "faint"];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function range() {
  if (!following) return;
  const now = Date.now();
  let oldest = now - 3_600_000;
  if (events.length > 0) oldest = Math.min(events[0].at, now - 60_000);
  const length = span > 0 ? span : Math.max(SHORTEST, (now - oldest) * 1.02);
  view = { from: now - length, to: now + length * 0.02 };
}

const margin = () => (canvas.clientWidth < 560 ? 8 : Math.min(260, canvas.clientWidth * 0.28));
const x = (time) => margin() + ((time - view.from) / (view.to - view.from)) * (canvas.clientWidth - margin() - 12);
const timeAt = (pixel) =>
  view.from + ((pixel - margin()) / (canvas.clientWidth - margin() - 12)) * (view.to - view.from);

/** The place of the first event at or after a time. */
function place(time) {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle].at < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function ticks(width) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
  const wanted = ((view.to - view.from) / 1000 / Math.max(1, width)) * 110;
  const step = (steps.find((step) => step >= wanted) ?? 2592000) * 1000;
  // Whole hours and days of the reader's zone.
  const shift = new Date(view.from).getTimezoneOffset() * 60_000;
  const times = [];
  for (let t = Math.ceil((view.from - shift) / step) * step + shift; t < view.to; t += step) times.push(t);
  return { times, label: (t) => (step >= 86_400_000 ? when(t).slice(5, 10) : step >= 60_000 ? clock(t).slice(0, 5) : clock(t)) };
}

function fit(text, width) {
  if (pen.measureText(text).width <= width) return text;
  let cut = text;
  while (cut.length > 4 && pen.measureText(`…${cut}`).width > width) cut = cut.slice(1);
  return `…${cut}`;
}

function laneOf(key) {
  const lane = lanes.indexOf(key);
  return lane >= 0 ? lane : lanes.indexOf(null);
}

const middle = (lane) => TOP + lane * laneHeight + (laneHeight > 30 ? laneHeight - 12 : laneHeight / 2);

export function paint() {
  const ratio = window.devicePixelRatio || 1;
  layOut();
  const [width, height] = [plot.clientWidth, plot.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  theme();
  range();
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const left = margin();
  const floor = height - BOTTOM;

  // Lanes and their names: beside them where there is room, inside them where there is none.
  lanes.forEach((key, lane) => {
    pen.fillStyle = lane % 2 === 0 ? colours.raised : colours.paper;
    pen.fillRect(0, TOP + lane * laneHeight, width, laneHeight);
    if (left > 100) {
      pen.fillStyle = key === null ? colours.quiet : colours.ink;
      pen.fillText(fit(key ?? "other keys", left - 16), 8, middle(lane));
    }
  });

  // The axis.
  const { times, label } = ticks(width - left);
  pen.strokeStyle = colours.line;
  pen.fillStyle = colours.quiet;
  pen.textAlign = "center";
  pen.beginPath();
  for (const time of times) {
    pen.moveTo(x(time), TOP);
    pen.lineTo(x(time), floor);
    if (x(time) > left + 16 && x(time) < width - 24) pen.fillText(label(time), x(time), floor + BOTTOM / 2);
  }
  pen.stroke();
  pen.textAlign = "left";

  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width - left, height);
  pen.clip();

  // Findings, for as long as they were open.
  for (const finding of findings.values()) {
    const to = finding.to ?? Date.now();
    const lane = laneOf(finding.key);
    if (lane < 0 || to < view.from || finding.from > view.to) continue;
    const start = Math.max(left, x(finding.from));
    pen.fillStyle = colours.red;
    pen.globalAlpha = 0.3;
    pen.fillRect(start, middle(lane) - 7, Math.max(3, Math.min(x(to), width) - start), 14);
  }
  pen.globalAlpha = 1;

  // Deployments: a line through all lanes, and the commit where there is room for it.
  const [first, end] = [place(view.from), place(view.to)];
  const deployments = events.slice(first, end).filter((event) => event.kind === "deployment");
  pen.strokeStyle = colours.blue;
  pen.fillStyle = colours.blue;
  pen.lineWidth = 1.5;
  deployments.forEach((event, i) => {
    const pixel = x(event.at);
    const room = (i + 1 < deployments.length ? x(deployments[i + 1].at) - 10 : width) - pixel - 10;
    pen.setLineDash(event.status === "finished" ? [] : [3, 3]);
    pen.beginPath();
    pen.moveTo(pixel, TOP - 8);
    pen.lineTo(pixel, floor);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(pixel, TOP - 20);
    pen.lineTo(pixel + 6, TOP - 14);
    pen.lineTo(pixel, TOP - 8);
    pen.lineTo(pixel - 6, TOP - 14);
    pen.fill();
    const text = event.status === "finished" ? short(event.commit) : event.status;
    if (pen.measureText(text).width < room) pen.fillText(text, pixel + 10, TOP - 14);
  });
  pen.setLineDash([]);
  pen.lineWidth = 1;

  // Changes, touches and losses. Of those that fall on the same pixel one is drawn.
  const drawn = new Set();
  for (let i = first; i < end; i++) {
    const event = events[i];
    const pixel = Math.round(x(event.at));
    if (event.kind === "loss") {
      pen.fillStyle = colours.violet;
      pen.fillRect(pixel - 1, TOP, 2, floor - TOP);
      continue;
    }
    if (event.kind !== "change" && event.kind !== "touch") continue;
    const lane = laneOf(event.key);
    const mark = (pixel * 32 + lane) * 2 + (event.kind === "change" ? 1 : 0);
    if (lane < 0 || drawn.has(mark)) continue;
    drawn.add(mark);
    pen.beginPath();
    if (event.kind === "change") {
      pen.fillStyle = colours.orange;
      pen.arc(pixel, middle(lane), 4.5, 0, 7);
      pen.fill();
    } else {
      pen.strokeStyle = colours.quiet;
      pen.arc(pixel, middle(lane), 3, 0, 7);
      pen.stroke();
    }
  }

  if (selected) {
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    const lane = selected.key ? laneOf(selected.key) : -1;
    pen.beginPath();
    pen.arc(x(selected.at), lane >= 0 ? middle(lane) : TOP - 14, 9, 0, 7);
    pen.stroke();
    pen.lineWidth = 1;
  }
  pen.restore();
  if (left <= 100) {
    pen.fillStyle = colours.ink;
    lanes.forEach((key, lane) => pen.fillText(fit(key ?? "other keys", width - 24), 8, TOP + lane * laneHeight + 10));
  }
  if (!selected) describe();
}

function describe() {
  const [first, end] = [place(view.from), place(view.to)];
  const delivered = new Set();
  let changes = 0;
  for (let i = first; i < end; i++) {
    if (events[i].kind === "deployment") delivered.add(events[i].deployment);
    if (events[i].kind === "change") changes++;
  }
  const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
  const counted = `${count(delivered.size, "deployment")}, ${count(changes, "change")}`;
  // Said anew only when it is news: a screen reader reads it out.
  if (at.dataset.text !== counted) {
    at.dataset.text = counted;
    at.textContent = `${when(view.from)} to ${when(Math.min(view.to, Date.now()))}: ${counted}`;
  }
}

function select(event) {
  selected = event;
  at.dataset.text = "";
  if (event) {
    at.textContent = `${when(event.time)} ${kind(event)}: ${sentence(event)}`;
    const length = view.to - view.from;
    if (event.at < view.from || event.at > view.to) {
      following = false;
      view = { from: event.at - length / 2, to: event.at + length / 2 };
    }
  }
  paint();
}

function zoom(factor, around = (view.from + view.to) / 2) {
  const length = Math.max(SHORTEST, (view.to - view.from) * factor);
  const share = (around - view.from) / (view.to - view.from);
  following = false;
  view = { from: around - length * share, to: around + length * (1 - share) };
  paint();
}

function show(seconds) {
  span = seconds * 1000;
  following = true;
  select(null);
}

function step(direction) {
  if (events.length === 0) return;
  let next = selected ? events.indexOf(selected) + direction : direction < 0 ? place(view.to) - 1 : place(view.from);
  next = Math.max(0, Math.min(events.length - 1, next));
  select(events[next]);
}

/** The event nearest to a place, if one is near. */
function near(pixel, row) {
  const lane = Math.floor((row - TOP) / laneHeight);
  let found = null;
  let best = 10;
  for (let i = place(timeAt(pixel - 10)), end = place(timeAt(pixel + 10)); i < end; i++) {
    const event = events[i];
    const here = event.key ? laneOf(event.key) === lane : row < TOP || event.kind === "loss";
    const distance = Math.abs(x(event.at) - pixel);
    if (here && distance < best && event.kind !== "verdict" && event.kind !== "start") [found, best] = [event, distance];
  }
  return found;
}

export function begin() {
  for (const button of document.querySelectorAll("[data-span]")) {
    button.addEventListener("click", () => show(Number(button.dataset.span)));
  }
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => zoom(button.dataset.zoom === "in" ? 0.5 : 2));
  }
  const keys = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    "+": () => zoom(0.5, selected?.at),
    "=": () => zoom(0.5, selected?.at),
    "-": () => zoom(2, selected?.at),
    Home: () => events.length > 0 && select(events[0]),
    End: () => events.length > 0 && select(events[events.length - 1]),
    Escape: () => show(span / 1000),
    Enter: () => selected?.key && chosen(selected.key),
  };
  plot.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  let grip = null;
  canvas.addEventListener("pointerdown", (event) => {
    grip = { pixel: event.offsetX, view, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) {
      const found = near(event.offsetX, event.offsetY);
      canvas.style.cursor = found ? "pointer" : "default";
      canvas.title = found ? `${when(found.time)} ${sentence(found)}` : "";
      return;
    }
    if (Math.abs(event.offsetX - grip.pixel) < 4 && !grip.moved) return;
    grip.moved = true;
    following = false;
    const per = (grip.view.to - grip.view.from) / (canvas.clientWidth - margin() - 12);
    const shift = (grip.pixel - event.offsetX) * per;
    view = { from: grip.view.from + shift, to: grip.view.to + shift };
    requestAnimationFrame(paint);
  });
  canvas.addEventListener("pointerup", (event) => {
    const moved = grip?.moved;
    grip = null;
    if (moved) return;
    const found = near(event.offsetX, event.offsetY);
    select(found);
    if (found?.key) chosen(found.key);
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      // Alone the wheel scrolls the page.
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, timeAt(event.offsetX));
    },
    { passive: false },
  );
  new ResizeObserver(() => paint()).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint());
  // The end of the axis is now.
  setInterval(() => following && !document.hidden && paint(), 5000);
}
