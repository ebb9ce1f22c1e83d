// What is said, in words; and the making of elements. Text goes into the page as text, never as markup.

/** An element with attributes, and children that are elements or text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "onclick") element.addEventListener("click", value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The same for SVG. */
export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const pad = (number) => String(number).padStart(2, "0");

/** A time of day and date in the reader's zone: the same width everywhere. */
export function when(time) {
  const at = new Date(time);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clock(time)}`;
}

export function clock(time) {
  const at = new Date(time);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** How long ago, roughly. */
export function ago(time, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - new Date(time).getTime()) / 1000));
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return seconds < 5 ? "just now" : `${seconds} s ago`;
}

export const timestamp = (time) => make("time", { datetime: time, title: time }, when(time));

/** As much of a revision as a person needs. */
export function short(commit) {
  if (!commit) return "no commit";
  if (commit.startsWith("oci:sha256:")) return commit.slice(0, 23);
  return commit.includes(":") ? commit : commit.slice(0, 12);
}

export const value = (text) => (text === null || text === undefined ? "absent" : text === "" ? "empty" : text);

/** By whom, as it stands in a sentence. */
export const by = (who) => (who ? `by ${writer(who)}` : "unattributed");

export function writer(who) {
  if (!who) return "unattributed";
  const login = who.login_uid !== null && who.login_uid !== who.uid ? `, login uid ${who.login_uid}` : "";
  const parent = who.parent_pid ? `, parent ${who.parent_comm} ${who.parent_pid}` : "";
  const unit = who.unit ? `, unit ${who.unit}` : "";
  return `${who.comm} (pid ${who.pid}, uid ${who.uid}${login}${parent}${unit})`;
}

function under(event) {
  if (!event.commit) return "before any deployment";
  return event.in_window ? `in the deploy of ${short(event.commit)}` : `under ${short(event.commit)}`;
}

/** Why a key departs, and what its value does not say. */
export function cause(finding) {
  const why = finding.cause === "unknown" ? "cause unknown" : finding.cause;
  return finding.detail ? `${why}: ${finding.detail}` : why;
}

/** What is in force and what should be, behind the name of the key. */
export function stands(finding) {
  const now = value(finding.actual);
  return finding.cause === "fight"
    ? ` is fought over by two, expected ${finding.expected}; it is ${now} now`
    : ` is ${now}, expected ${finding.expected}`;
}

/** The kind of an event, as its row is marked. */
export function kind(event) {
  if (event.kind !== "finding") return event.kind;
  return event.state === "opened" ? "finding" : "healed";
}

/** What ended a finding, in words. */
function ended({ healing, key, actual, expected }) {
  switch (healing) {
    case "no longer declared":
      return `${key} is no longer declared; expected was ${expected}`;
    case "adopted":
      return `${key} is ${value(actual)}, which was adopted; expected was ${expected}`;
    default:
      return `${key} is ${value(actual)}, expected ${expected}`;
  }
}

/** An event as one sentence. */
export function sentence(event) {
  switch (event.kind) {
    case "change": {
      const asked = event.requested !== null && event.requested !== event.actual ? ` (${event.requested} was asked for)` : "";
      const writes = event.writes > 1 ? `, ${event.writes} writes` : "";
      const ours = event.remedies ? ", a remedy of driftd's" : "";
      return `${event.key} ${value(event.previous)} → ${value(event.actual)}${asked}${writes}, ${by(event.writer)}${ours}, ${under(event)}`;
    }
    case "touch": {
      const writes = event.writes > 1 ? `, ${event.writes} writes` : "";
      return `${event.key} is ${value(event.actual)}, write ${event.reason}${writes}, ${by(event.writer)}`;
    }
    case "finding":
      return event.state === "opened"
        ? `${event.severity}: ${event.key}${stands(event)}; ${cause(event)}, ${by(event.writer)}, ${under(event)}`
        : ended(event);
    case "remedy": {
      const why = event.reason ? `: ${event.reason.split("\n")[0]}` : "";
      return `${event.remedy} of ${event.key}, ${value(event.previous)} → ${value(event.requested)}: ${event.outcome}${why}`;
    }
    case "deployment": {
      const of = [event.app, event.environment].filter(Boolean).join(", ");
      return `${short(event.commit)} ${event.status}${of ? ` (${of})` : ""}`;
    }
    case "verdict": {
      const open = event.findings.length;
      return `${short(event.commit)} ${event.status}: ${event.keys} keys, ${open} ${open === 1 ? "finding" : "findings"} open`;
    }
    case "loss":
      return event.count === null ? event.what : `${event.count} ${event.what}; everything declared is read again`;
    case "start":
      return `driftd ${event.version} watches ${event.keys} keys: sysctls by ${event.sysctl}, MTUs by ${event.link}`;
    default:
      return event.kind;
  }
}
