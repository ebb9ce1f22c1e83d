// What the page knows: the last events, as the stream tells them, and the state at a glance. Nothing here draws.

/** How many events are kept; the server gives no more of the past. */
export const MOST = 10000;

const KINDS = "start,deployment,verdict,change,touch,finding,remedy,loss";

/** How long to wait before a stream that was refused is tried again, in milliseconds. */
const AGAIN = 5000;

/** All events that are kept, oldest first. */
export const events = [];

/** The key of each open or healed finding's bar on the timeline: finding -> { key, from, to }. */
export const findings = new Map();

let last = null;
const listeners = [];

/** Calls back, at most once a frame, when there is something new. */
export function onNews(listener) {
  listeners.push(listener);
}

let due = false;
let moved = false;
function news(matters) {
  moved ||= matters;
  if (due) return;
  due = true;
  // A page in the background has no frames, and must not fall behind.
  const soon = document.hidden ? (run) => setTimeout(run, 250) : requestAnimationFrame;
  soon(() => {
    const matter = moved;
    due = moved = false;
    for (const listener of listeners) listener(matter);
  });
}

function take(event) {
  if (last !== null && event.entry <= last) return;
  last = event.entry;
  event.at = Date.parse(event.time);
  events.push(event);
  if (event.kind === "finding") {
    const known = findings.get(event.finding);
    findings.set(event.finding, {
      key: event.key,
      from: known ? known.from : Date.parse(event.opened),
      to: event.healed === null ? null : Date.parse(event.healed),
      severity: event.severity,
    });
  }
  if (events.length > MOST * 1.1) {
    for (const gone of events.splice(0, events.length - MOST)) {
      if (gone.kind === "finding" && gone.state === "healed") findings.delete(gone.finding);
    }
  }
  news(event.kind !== "touch");
}

/** Follows the stream for as long as the page is open; says how that goes. */
export function follow(said) {
  const from = last === null ? `last=${MOST}` : `after=${last}`;
  const stream = new EventSource(`/api/v1/stream?${from}&kinds=${KINDS}`);
  let late = null;
  const well = () => {
    clearTimeout(late);
    said("live");
  };
  stream.onopen = well;
  stream.onmessage = (message) => take(JSON.parse(message.data));
  // The store is another than the one this page knows.
  stream.addEventListener("reset", () => location.reload());
  stream.onerror = () => {
    clearTimeout(late);
    // A stream that ends begins again by itself: that is worth a word only if it takes long.
    late = setTimeout(() => said("not connected"), 4000);
    if (stream.readyState === EventSource.CLOSED) {
      clearTimeout(late);
      said("not connected");
      setTimeout(() => follow(said), AGAIN);
    }
  };
}

/** Asks for JSON; null where it cannot be had. */
export async function ask(path) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
