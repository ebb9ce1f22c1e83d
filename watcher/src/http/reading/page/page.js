// The page: the state at a glance, the findings, the list of events. The timeline and the history draw themselves.

import { show as showHistory } from "./history.js";
import { ask, events, follow, onNews } from "./state.js";
import { begin, onChosen, paint } from "./timeline.js";
import { ago, by, cause, kind, make, sentence, short, stands, timestamp, value, when } from "./words.js";

const byId = (id) => document.getElementById(id);

/** How many findings, and how many events at once, are shown. */
const FINDINGS = 200;
const PIECE = 100;

let shown = PIECE;
let watched = new Map();
let status = null;

async function glance() {
  const [now, summary] = await Promise.all([ask("/api/v1/status"), ask("/status.json")]);
  if (!now) return;
  status = now;
  const server = summary?.server ?? "";
  if (server) byId("server").textContent = server;
  const synced = now.status === "SYNCED";
  const open = now.findings.length;
  const words = synced ? "SYNCED" : "OUT OF SYNC";
  document.title = `${synced ? "✓" : `✗ ${open}`} ${server} – driftd`;
  const verdict = byId("verdict");
  if (verdict.textContent !== words) verdict.textContent = words;
  verdict.className = `verdict ${synced ? "synced" : "out"}`;
  facts(now);
  findings(now.findings, now.unreadable);
  const blind = byId("blind");
  const unrecorded = now.unrecorded && `Nothing can be recorded: ${now.unrecorded}`;
  const broken = now.broken && `What is declared stays as it was: ${now.broken}`;
  const troubles = [now.blind, unrecorded, broken].filter(Boolean).join("\n");
  blind.hidden = troubles === "";
  if (blind.textContent !== troubles) blind.textContent = troubles;
}

function facts(now) {
  const of = (news) => {
    const name = [news.app, news.environment].filter(Boolean).join(", ");
    return `${short(news.commit)}${name ? ` (${name})` : ""}`;
  };
  const pairs = [
    ["In force", now.deployment ? of(now.deployment) : "no deployment yet"],
    now.window ? ["Under way", of(now.window)] : null,
    ["Declared keys", String(now.watching.keys)],
    ["Sysctls watched by", now.watching.sysctl],
    ["MTUs watched by", now.watching.link],
    ["Pressure watched by", now.watching.pressure],
    ["All read", now.last_sweep ? ago(now.last_sweep) : "not yet"],
    ["Losses", String(now.losses)],
    ["Running since", when(now.since)],
  ];
  const items = pairs.filter(Boolean).map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text)));
  byId("facts").replaceChildren(...items);
}

function findings(open, unreadable) {
  const rank = { critical: 0, warning: 1, info: 2 };
  const sorted = [...open].sort((a, b) => rank[a.severity] - rank[b.severity] || a.key.localeCompare(b.key));
  const items = sorted.slice(0, FINDINGS).map((finding) => {
    const commit = finding.commit ? `under ${short(finding.commit)}` : "before any deployment";
    const was = finding.previous === null || finding.cause === "fight" ? "" : `, was ${finding.previous}`;
    return make("li", { class: finding.severity },
      make("p", { class: "what" },
        make("span", { class: `tag ${finding.severity}` }, finding.severity),
        make("button", { type: "button", class: "key", title: "Show its history", onclick: () => choose(finding.key, true) }, finding.key),
        `${stands(finding)}${was}.`),
      make("p", { class: "why" },
        `${cause(finding)[0].toUpperCase()}${cause(finding).slice(1)}, ${commit}, ${by(finding.writer)}. Declared by ${finding.declared_by.file}:${finding.declared_by.line} (rule ${finding.rule}). Open since `,
        timestamp(finding.opened), ".",
        finding.muted ? ` Muted until ${when(finding.muted.until)}${finding.muted.reason ? `: ${finding.muted.reason}` : ""}.` : ""));
  });
  for (const key of unreadable) items.push(make("li", { class: "warning" }, make("p", { class: "what" }, `${key} cannot be read.`)));
  byId("finding-list").replaceChildren(...items);
  byId("no-findings").hidden = items.length > 0;
  const more = byId("more-findings");
  more.hidden = open.length <= FINDINGS;
  more.textContent = `${open.length - FINDINGS} more are open: driftd status has them all.`;
}

function list() {
  const only = byId("only").value.trim().toLowerCase();
  const rows = [];
  let matching = 0;
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i];
    if (only) {
      event.text ??= `${kind(event)} ${sentence(event)} ${event.commit ?? ""}`.toLowerCase();
      if (!event.text.includes(only)) continue;
    }
    matching++;
    if (rows.length < shown) rows.push(row(event));
  }
  byId("event-rows").replaceChildren(...rows);
  byId("counted").textContent = only ? `${matching} of ${events.length} events` : `${events.length} events`;
  byId("more").hidden = matching <= shown;
}

function row(event) {
  event.row ??= make("tr", { class: kind(event) },
    make("td", {}, timestamp(event.time)),
    make("td", {}, make("span", { class: `tag ${kind(event)}` }, kind(event))),
    make("td", {}, sentence(event)));
  return event.row;
}

async function keys() {
  const answer = await ask("/api/v1/keys");
  if (!answer) return;
  watched = new Map(answer.keys.map((entry) => [entry.key, entry]));
  const select = byId("key");
  const chosen = selectedKey();
  const names = new Set(watched.keys());
  if (chosen) names.add(chosen);
  const known = [...select.options].slice(1).map((option) => option.value);
  if (known.length !== names.size || known.some((name) => !names.has(name))) {
    const options = [...names].sort().map((name) => make("option", { value: name }, name));
    select.replaceChildren(select.options[0], ...options);
  }
  select.value = chosen;
}

/** The key that the address names: a history can be linked to. */
function selectedKey() {
  return new URLSearchParams(location.hash.slice(1)).get("key") ?? "";
}

function choose(key, go) {
  const hash = key ? `#${new URLSearchParams({ key })}` : "#";
  if (location.hash !== hash) history.replaceState(null, "", hash);
  refresh();
  if (go) {
    byId("history").scrollIntoView({ block: "start", behavior: "auto" });
    byId("history-title").focus({ preventScroll: true });
  }
}

async function refresh() {
  await keys();
  const key = selectedKey();
  byId("key").value = key;
  await showHistory(key, watched.get(key));
}

/** Calls at once, and then at most once in so many milliseconds; what is wanted meanwhile, once after them. */
function seldom(millis, run) {
  let running = false;
  let again = false;
  return async function go() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    await run();
    setTimeout(() => {
      running = false;
      if (again) {
        again = false;
        go();
      }
    }, millis);
  };
}

const glanceSeldom = seldom(300, glance);
const refreshSeldom = seldom(1000, refresh);
const listSeldom = seldom(150, async () => list());

begin();
onChosen((key) => choose(key, true));
onNews((matters) => {
  paint();
  listSeldom();
  if (matters) {
    glanceSeldom();
    if (selectedKey()) refreshSeldom();
  }
});
byId("only").addEventListener("input", () => {
  shown = PIECE;
  list();
});
byId("more").addEventListener("click", () => {
  shown += PIECE;
  list();
});
byId("key").addEventListener("change", (event) => choose(event.target.value, false));
addEventListener("hashchange", refresh);
byId("zone").textContent = `Times are in ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;

glance();
refresh();
// What moves without an event: how long ago all was read.
setInterval(() => !document.hidden && glanceSeldom(), 10_000);
follow((text) => {
  const live = byId("live");
  live.textContent = text;
  live.classList.toggle("gone", text !== "live");
  if (text === "live") glanceSeldom();
});
paint();
