// Reads the agent's own API once a second and draws what it says: as text, never as markup.

const PHASES = ["fencing", "promoting", "publishing", "verifying"];
const GLYPH = { up: "✓", degraded: "!", down: "✕", unknown: "?" };
const open = new Set();
const stories = new Map();
let status = null;
let heardAt = 0;
let trouble = "";
let log = [];

const $ = id => document.getElementById(id);

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick") node.onclick = value;
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

// Makes `old` like `fresh` and keeps what is the same, so that focus and selection stay.
function morph(old, fresh) {
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((child, at) => {
    const kept = before[at];
    if (!kept) old.append(child);
    else if (kept.nodeType !== child.nodeType || kept.nodeName !== child.nodeName) kept.replaceWith(child);
    else if (child.nodeType === Node.TEXT_NODE) { if (kept.data !== child.data) kept.data = child.data; }
    else {
      for (const { name } of [...kept.attributes]) if (!child.hasAttribute(name)) kept.removeAttribute(name);
      for (const { name, value } of child.attributes) if (kept.getAttribute(name) !== value) kept.setAttribute(name, value);
      kept.onclick = child.onclick;
      morph(kept, child);
    }
  });
  before.slice(after.length).forEach(child => child.remove());
}

function fill(id, ...children) {
  morph($(id), el("div", {}, ...children));
}

function regions() {
  const found = new Map();
  for (const member of list(status.members)) {
    const region = member.region || "unknown";
    if (!found.has(region)) found.set(region, []);
    found.get(region).push(member);
  }
  return new Map([...found].sort(([a], [b]) => a < b ? -1 : 1));
}

function drawMesh() {
  const { quorum } = status;
  const well = quorum.needed <= quorum.heard;
  const pips = Array.from({ length: Math.min(quorum.voters, 15) }, (_, at) =>
    el("i", { class: (at < quorum.heard ? "heard " : "") + (at + 1 === quorum.needed ? "need" : "") }));
  const cards = [...regions()].map(([region, members]) => el("div", {},
    el("h3", {}, region),
    el("ul", {}, members.map(member => {
      const own = member.agent === status.agent;
      const state = own ? ["good", "itself"] : member.heard ? ["good", member.rtt_ms == null ? "heard" : `${member.rtt_ms.toFixed(1)} ms`]
        : [member.alive ? "wary" : "bad", member.silent_ms == null ? "never heard" : `silent ${span(member.silent_ms)}`];
      return el("li", {},
        el("span", {}, member.agent, el("span", { class: "faint" }, member.voter ? "" : member.abstention === "standing-by" ? " standby" : " observer")),
        el("span", { class: state[0] }, state[1]),
        member.voter && member.abstention && el("small", { class: "wary" }, `does not count: ${words(member.abstention)}`));
    }))));
  fill("mesh", el("div", { class: "card" },
    el("h2", { id: "mesh-title" }, "Mesh"),
    el("div", { class: "quorum" },
      el("span", { class: "pips" + (well ? "" : " lost"), "aria-hidden": "true" }, pips),
      el("span", { class: well ? "good" : "bad" }, well ? "Quorum: " : "No quorum: ", quorumWords(quorum))),
    quorum.why && el("p", { class: "bad" }, quorum.why),
    status.voters && el("p", { class: "faint" }, `voters version ${status.voters.version}`),
    el("div", { class: "regions" }, cards)));
}

// The steps of the last decision, with what the history knows of their times.
function steps(app) {
  const story = stories.get(app.app);
  const entries = story && story.epoch === app.epoch ? story.entries : [];
  const times = {};
  let suspected = null;
  const actions = {};
  for (const entry of entries) {
    const detail = entry.detail || {};
    if (entry.event === "suspects" && detail.stack === app.decision.from && detail.down > 0 && !times.any) suspected ??= entry;
    if (entry.event === "learns" && entry.epoch === app.epoch) {
      times.any = true;
      times[detail.phase] ??= entry;
    }
    if (entry.event === "reports" && entry.epoch === app.epoch) {
      const step = { 1: "fencing", 2: "aborting", 3: "promoting", 4: "publishing", 5: "verifying" }[(Number(detail.token) || 0) & 0xff];
      const took = detail.took ? detail.took.secs * 1000 + detail.took.nanos / 1e6 : 0;
      const good = detail.what && "Ok" in detail.what;
      const text = detail.what ? detail.what.Ok ?? detail.what.Err : "?";
      (actions[step] ??= []).push([good, `${text} (${took.toFixed(0)} ms)`]);
    }
  }
  const first = PHASES.map(phase => times[phase]).find(Boolean);
  const start = first ? first.wall_ms : app.decision.wall_ms;
  const after = entry => entry && `${entry.wall_ms < start ? "−" : "+"}${(Math.abs(entry.wall_ms - start) / 1000).toFixed(3)} s`;
  const databases = app.stacks.some(stack => stack.targets.some(target => target.database));
  const phases = PHASES.filter(phase => databases || times[phase] || phase === app.phase || !["fencing", "promoting"].includes(phase));
  if (app.phase === "aborting" || times.aborting) phases.splice(1, phases.length, "aborting");
  const now = app.phase === "idle" ? phases.length : phases.indexOf(app.phase);
  const items = [];
  if (suspected) items.push(el("li", { class: "past" }, el("b", {}, "suspected"), el("small", {}, after(suspected))));
  phases.forEach((phase, at) => {
    const entry = times[phase];
    const executor = entry && entry.detail.executor;
    const state = at < now ? "past" : at === now ? "present" : "future";
    items.push(el("li", { class: state, "aria-current": state === "present" ? "step" : null },
      el("b", {}, phase),
      el("small", {}, [after(entry), executor && `by ${executor}`].filter(Boolean).join(" ") || (state === "present" ? "now" : "")),
      (actions[phase] || []).map(([good, text]) => el("small", { class: good ? "" : "bad" }, text))));
  });
  items.push(el("li", { class: app.phase === "idle" ? "past" : "future" },
    el("b", {}, app.phase === "idle" ? "done" : "to be done"), el("small", {}, after(times.idle) || "")));
  return el("ol", { class: "steps" }, items);
}

function remark(app, target) {
  const beliefs = Object.values(target.beliefs).filter(belief => belief.counts);
  const rank = ["up", "degraded", "down", "unknown"];
  const faulty = beliefs.filter(belief => belief.fault).sort((a, b) => rank.indexOf(b.health) - rank.indexOf(a.health))[0];
  if (faulty) return faulty.fault.text + (faulty.quiet_ms == null ? "" : `, up ${span(faulty.quiet_ms)} ago`);
  const sight = beliefs.map(belief => belief.database).find(Boolean);
  if (sight) {
    if (!sight.replica) return sight.read_only ? "primary, read-only" : "primary";
    const primary = app.stacks.flatMap(stack => stack.targets).filter(other => other.target === target.target)
      .flatMap(other => Object.values(other.beliefs)).map(belief => belief.database).filter(other => other && !other.replica);
    const lag = primary.length ? `, ${bytes(Math.max(0, Math.max(...primary.map(other => other.position)) - sight.position))} behind` : "";
    return `replica, ${sight.streaming ? "streaming" : "not streaming"}${lag}`;
  }
  const slowest = Math.max(0, ...beliefs.map(belief => belief.took_ms || 0));
  return slowest ? `${slowest.toFixed(0)} ms` : "";
}

function saying(agent, belief) {
  if (!belief) return `${agent}: nothing yet`;
  return `${agent}: ${belief.health}${belief.counts ? "" : ", does not count"}${belief.fault ? `, ${belief.fault.text}` : ""}`;
}

function see(agent, belief) {
  const health = belief ? belief.health : "unknown";
  const text = saying(agent, belief);
  return el("span", { class: `see ${health}${belief && belief.counts ? "" : " mute"}`, title: text },
    el("span", { "aria-hidden": "true" }, GLYPH[health] || "?"), el("span", { class: "hidden" }, text));
}

function grid(app) {
  const places = [...regions()];
  const rows = [];
  for (const stack of app.stacks) {
    const unfit = !stack.active && stack.unfit.length ? `unfit: ${stack.unfit.join("; ")}` : "";
    const verdicts = [["web", stack.web], ["data", stack.data]].filter(([, verdict]) => verdict);
    rows.push(el("tr", { class: "stack" }, el("th", { colspan: places.length + 2, scope: "rowgroup" }, stack.stack,
      el("span", {}, stack.active ? "★ active" : "standby"),
      verdicts.map(([part, verdict]) => el("span", { class: verdict === "down" ? "bad" : verdict === "contested" ? "wary" : "good" }, `${part} ${verdict}`)),
      unfit && el("span", { class: "wary" }, unfit))));
    for (const target of stack.targets) {
      const key = `${app.app}/${stack.stack}/${target.target}`;
      const toggle = () => { open.has(key) ? open.delete(key) : open.add(key); draw(); };
      rows.push(el("tr", {},
        el("td", {}, el("button", { class: "open", type: "button", "aria-expanded": String(open.has(key)), onclick: toggle }, target.target)),
        places.map(([, members]) => el("td", {}, el("div", { class: "who" }, members.map(member => see(member.agent, target.beliefs[member.agent]))))),
        el("td", { class: "remark" }, remark(app, target))));
      if (open.has(key)) {
        rows.push(el("tr", { class: "detail" }, el("td", { colspan: places.length + 2 }, el("dl", {},
          el("dt", {}, "where"), el("dd", {}, target.address),
          places.flatMap(([, members]) => members).flatMap(member => [
            el("dt", {}, member.agent),
            el("dd", {}, saying(member.agent, target.beliefs[member.agent]).slice(member.agent.length + 2)),
          ])))));
      }
    }
  }
  return el("div", { class: "scroll" }, el("table", { class: "grid" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Target"),
      places.map(([region]) => el("th", { scope: "col" }, region)), el("th", { scope: "col", class: "remark" }, ""))),
    el("tbody", {}, rows)));
}

const MODES = { automatic: "automatic", approve: "asks before it acts", shadow: "shadow: touches nothing" };
function drawApps() {
  // What moves or is down stands first; a person with a phone in one hand should not have to scroll.
  const urgency = app => app.phase !== "idle" ? 0 : app.stacks.some(stack => worst(stack) !== "standing") ? 1 : 2;
  const cards = list(status.apps).toSorted((a, b) => urgency(a) - urgency(b)).map(app => {
    const { decision } = app;
    return el("article", { class: "card" },
      el("div", { class: "app-head" },
        el("h2", {}, app.app),
        el("span", { class: "tag" }, `★ ${app.active}`),
        el("span", { class: `tag ${app.phase === "idle" ? "idle" : "moving"}` }, app.phase),
        el("span", { class: "faint" }, `${MODES[app.mode] || app.mode}, epoch ${app.epoch}, revision ${app.revision}`)),
      el("dl", { class: "facts" },
        facts(app).map(([name, ...said]) => [el("dt", {}, name), said.map(([text, kind]) => el("dd", { class: kind || "" }, text))])),
      decision.kind !== "apply" && [el("h3", {}, app.phase === "idle" ? `Last move: ${decision.kind}` : `In progress: ${decision.kind}`), steps(app)],
      el("h3", {}, "Who sees what"),
      grid(app));
  });
  const legend = [["up", "up"], ["degraded", "degraded"], ["down", "down"], ["unknown", "not known"]].map(([health, text]) =>
    el("span", {}, el("span", { class: `see ${health}`, "aria-hidden": "true" }, GLYPH[health]), text));
  legend.push(el("span", {}, el("span", { class: "see up mute", "aria-hidden": "true" }, GLYPH.up), "does not count"));
  const empty = el("p", { class: "card" }, "No apps yet: ", el("code", {}, "quorate apply FILE"), " gives the mesh one.");
  fill("apps", cards.length ? [...cards, el("p", { class: "legend" }, legend)] : empty);
}

function drawHistory() {
  const kinds = { learns: "strong", alarm: "bad", refuses: "bad", denies: "bad", suspects: "wary", holds: "wary", "gives-up": "wary", misses: "wary", abstains: "wary",
    "resolvers-followed": "good", "resolvers-given-up": "wary", "weak-door-shut": "wary", "weak-door-opened": "good" };
  const kind = ({ event, detail }) => event === "reports" && detail && detail.what && !("Ok" in detail.what) ? "bad" : kinds[event] || "";
  const rows = log.slice(-40).reverse().map(entry => el("li", {},
    el("time", { datetime: new Date(entry.wall_ms).toISOString() }, clock(entry.wall_ms)),
    el("span", { class: "app" }, [entry.app, entry.epoch == null ? "" : `epoch ${entry.epoch}`].filter(Boolean).join(" ") || "mesh"),
    el("span", { class: `what ${kind(entry)}` }, entry.text)));
  fill("history", el("div", { class: "card" },
    el("h2", { id: "history-title" }, "History "),
    el("p", { class: "faint" }, "newest first, in this browser's time"),
    rows.length ? el("ol", { class: "log" }, rows) : el("p", { class: "faint" }, "Nothing has happened since this history began.")));
}

function draw() {
  const late = !status || trouble;
  document.body.className = late ? "late" : "";
  $("live").className = late ? "late" : "";
  $("live").textContent = !trouble ? (status ? "live" : "asking …")
    : heardAt ? `${trouble}; below is what was seen ${span(Date.now() - heardAt)} ago` : trouble;
  if (!status) return;
  $("who").textContent = `mesh ${status.mesh.slice(0, 8)}, as ${status.agent} in ${status.region} sees it, version ${status.version}`;
  const found = findings();
  document.title = { critical: "✕ ", warning: "! ", ok: "" }[found[0][0]] + "Quorate";
  fill("found", found.map(([grade, text]) => el("p", { class: `finding ${grade}` }, el("b", {}, grade), el("span", {}, text))));
  drawApps();
  drawMesh();
  drawHistory();
}

async function ask(path) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 5000);
  try {
    const answer = await fetch(path, { signal: stop.signal, cache: "no-store" });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error || `status ${answer.status}`);
    return body;
  } finally {
    clearTimeout(timer);
  }
}

async function story(app) {
  const known = stories.get(app.app);
  const moving = app.phase !== "idle";
  if (app.decision.kind === "apply") return;
  if (known && known.epoch === app.epoch && known.phase === app.phase && !moving) return;
  const found = await ask(`/api/v1/history?app=${encodeURIComponent(app.app)}&epoch=${app.epoch}&limit=300`);
  stories.set(app.app, { epoch: app.epoch, phase: app.phase, entries: list(found.entries) });
}

let rounds = 0;
async function round() {
  try {
    status = await ask("/api/v1/status");
    heardAt = Date.now();
    trouble = "";
    if (rounds++ % 3 === 0) log = list((await ask("/api/v1/history?limit=40")).entries);
    for (const app of list(status.apps)) await story(app);
  } catch (error) {
    trouble = error.name === "AbortError" || error instanceof TypeError ? "the agent does not answer" : error.message;
  }
  draw();
  setTimeout(round, document.hidden ? 5000 : 1000);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) draw(); });
round();
