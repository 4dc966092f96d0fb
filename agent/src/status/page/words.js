"use strict";
// The agent's own API, in the words of `quorate status`. Nothing here draws.

const list = value => Array.isArray(value) ? value : [];

function span(ms) {
  if (ms < 10000) return (ms / 1000).toFixed(1) + " s";
  if (ms < 120000) return Math.floor(ms / 1000) + " s";
  if (ms < 7200000) return Math.floor(ms / 60000) + " min";
  return ms < 172800000 ? Math.floor(ms / 3600000) + " h" : Math.floor(ms / 86400000) + " days";
}

const within = ms => typeof ms === "number" ? ` of ${span(ms)}` : "";
function bytes(count) {
  if (count < 10240) return count + " B";
  return count < 10485760 ? Math.floor(count / 1024) + " KiB" : Math.floor(count / 1048576) + " MiB";
}

const pad = (number, width) => String(number).padStart(width, "0");
// In this browser's time; no line ends within it.
function clock(ms) {
  const at = new Date(ms);
  return `${pad(at.getMonth() + 1, 2)}-\u2060${pad(at.getDate(), 2)}\u00a0${pad(at.getHours(), 2)}:${pad(at.getMinutes(), 2)}:${pad(at.getSeconds(), 2)}`;
}

const way = decision => decision.from === decision.to ? decision.to : `${decision.from} → ${decision.to}`;
const quorumWords = quorum => `${quorum.heard} of ${quorum.voters} voters heard, ${quorum.needed} needed`;
const worst = stack => [stack.web, stack.data].includes("down") ? "down"
  : [stack.web, stack.data].includes("contested") ? "contested" : "standing";

const about = ({ target, text }) => `${target.name} of ${target.stack} ${text}`;

function findings() {
  const found = [];
  const { quorum } = status;
  if (quorum.heard < quorum.needed) found.push(["critical", `no quorum, nothing will be moved: ${quorum.why || quorumWords(quorum)}`]);
  if (status.voter && status.abstention) found.push(["warning", `${status.agent} does not vote: ${words(status.abstention)}`]);
  const voters = status.voters || {};
  if (!status.voter && status.abstention === "standing-by") {
    found.push(["warning", `${status.agent} stands by: \`quorate voters add ${status.agent}\` lets it vote`]);
  }
  if (voters.changing) found.push(["warning", `the voters are being changed: ${voters.changing}`]);
  for (const voter of list(voters.members).filter(voter => voter.standby_store)) {
    found.push(["warning", `${voter.agent} does not vote: its store was lost; \`quorate voters replace ${voter.agent}\` takes in its fresh one`]);
  }
  const { doors, trouble, watchdog } = status.guard || {};
  if (trouble) found.push(["critical", `the doors here may stand open: their rules cannot be laid: ${trouble}`]);
  for (const door of list(doors).filter(door => door.trouble)) found.push(["critical", `the ${door.by === "engine" ? "weak door" : "door"} of ${door.app}/${door.database} here: ${door.trouble}`]);
  if (watchdog && watchdog.trouble) found.push(["critical", `the watchdog here: ${watchdog.trouble}`]);
  const lost = list(status.members).filter(member => member.voter && !member.heard && member.agent !== status.agent);
  if (lost.length && quorum.needed <= quorum.heard) {
    found.push(["warning", `not heard: ${lost.map(member => member.agent).join(", ")}; ${quorum.heard - quorum.needed} more may fail`]);
  }
  for (const app of list(status.apps)) {
    if (app.phase !== "idle") {
      found.push(["critical", `${app.app}: ${app.decision.kind} ${app.decision.from === app.decision.to ? "on " : ""}${way(app.decision)}, ${app.phase}, carried out by ${app.executor || "nobody yet"}`]);
    }
    for (const stack of app.stacks) {
      const verdict = worst(stack);
      if (stack.active && verdict === "contested") found.push(["critical", `${app.app}: ${stack.stack} is contested: ${app.next}`]);
      if (stack.active && verdict === "down" && app.phase === "idle") found.push(["critical", `${app.app}: ${stack.stack} is down: ${app.next}`]);
      if (!stack.active && verdict === "down") found.push(["warning", `${app.app}: standby ${stack.stack} is down`]);
    }
    if (app.phase === "idle" && app.unready.length && !app.stacks.some(stack => worst(stack) === "down")) {
      found.push(["warning", `${app.app}: a failover would not succeed: ${app.unready.join("; ")}`]);
    }
    for (const warning of list(app.warnings)) found.push(["warning", `${app.app}: ${about(warning)}`]);
  }
  for (const { app } of list(status.apps)) for (const words of notReady(app)) found.push(["warning", `${app}: ${words}`]);
  if (!found.length) found.push(["ok", `nothing wants looking at; ${quorumWords(quorum)}`]);
  const order = ["critical", "warning", "ok"];
  return found.sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0]));
}

const ABSTAINS = {
  young: "started too recently", isolated: "hears no majority of voters", stalled: "was not scheduled in time",
  "clock-jump": "its clock jumped", quarantined: "its store must not vote again", "standing-by": "stands by to become a voter", observer: "is an observer",
  "cut-off": "reaches too few of its canaries", "mass-failure": "saw most of what it watches fail at once", unwell: "is unwell itself: late, or not answered",
};
const words = why => ABSTAINS[why] || why;

function leaseWords({ writer, guards, granted }) {
  if (!writer) return ["nobody may write while the old stack is being fenced", "wary"];
  const held = list(guards).filter(it => it.stack === writer);
  const saying = held.map(it => it.open_ms ? `${it.guard} holds it for ${Math.floor(it.open_ms / 1000)} s more` : `${it.guard} holds none`);
  const voters = list(granted).filter(it => it.stack === writer).length;
  const open = held.length && held.every(it => it.open_ms);
  return [`${writer}: ${saying.join(", ")}; granted by ${voters} voters`, open ? "good" : "bad"];
}

// On whom a promotion without loss may rely.
function syncWords(name, stacks) {
  return stacks.length > 0
    ? [`${name}: ${stacks.join(", ")} has whatever is acknowledged`, "good"]
    : [`${name}: no replica holds for certain what is acknowledged`, "wary"];
}

// How the doors on the agent's host are that no lease holds.
function weakWords(app) {
  const weak = list((status.guard || {}).doors).filter(door => door.app === app.app && door.by === "engine");
  return weak.map(({ database, left_ms, trouble }) => {
    const shut = trouble ? "not known to be shut" : "takes no writes";
    const how = left_ms ? `shut in ${Math.floor(left_ms / 1000)} s unless a majority of the voters is heard` : shut;
    return [`${database} here: ${how}; by the engine's own means, which prove nothing`, "wary"];
  });
}

function dampingWords({ history, flapping, cooling_ms }) {
  const aborted = history.filter(it => it.aborted).length;
  const times = history.length === 1 ? "once" : `${history.length} times`;
  const waits = flapping ? "held as flapping until `quorate ack`"
    : cooling_ms ? `cooling down for ${Math.ceil(cooling_ms / 1000)} s` : "cooled down";
  return [`the mesh acted by itself ${times}${aborted ? ` (${aborted} taken back)` : ""}: ${waits}`, flapping ? "bad" : "faint"];
}

// What an old primary turned out to hold alone.
function lostWords(name, { stack, epoch, transactions, bytes: size, span_ms }) {
  const what = transactions ? `${transactions} transactions, ${bytes(size)}${within(span_ms)} of log` : "nothing";
  return [`${what}: what ${name} of ${stack} alone had, back in epoch ${epoch}`, "wary"];
}

function followingWords({ stack, name, sources, agreed, found, answered_ms, why, failures }) {
  const known = answered_ms != null, same = agreed.join() === list(found).join();
  const parts = [`${name} of ${stack}: ${agreed.join(" ")}`];
  if (known && !same) parts.push(`named are ${found.join(" ")}`);
  if (why) parts.push(known ? `last told ${span(answered_ms)} ago, failed ${failures} times: ${why}` : `never told: ${why}`);
  else if (!known) parts.push(`not told yet by ${sources.join(", else ")}`);
  return [parts.join("; "), why || !same ? "wary" : ""];
}

// What would keep an app's stacks from serving, as far as the agent found.
function notReady(app) {
  return list(status.readiness).filter(it => it.app === app).map(it => `${it.stack || "any stack"}, seen from here: ${it.why}`);
}

// Who still hands out old addresses, until every resolver has followed.
function tailWords(app) {
  const lasting = list(status.tails).filter(tail => tail.app === app.app && tail.resolvers.some(it => it.followed_ms == null));
  return lasting.flatMap(tail => tail.resolvers).flatMap(({ resolver, old, followed_ms, why }) => [
    ...old.map(it => [`${resolver} still has ${it.value} of ${it.name} for ${span(it.left_ms)}`, "wary"]),
    why ? [`${resolver} does not tell: ${why}`, "wary"] : followed_ms != null && [`${resolver} had followed after ${span(followed_ms)}`, "good"],
  ].filter(Boolean));
}

// Everything about an app: each a name, and what is said under it with its colour. What is to come stands first.
function facts(app) {
  const { decision, freeze, planned } = app;
  const losing = app.stacks.filter(stack => stack.would_lose > 0);
  return [
    ["next", [app.next, "next"]],
    ["planned", planned && [`to ${planned.to} in ${Math.ceil(planned.within_ms / 1000)} s, for ${planned.by}`, "wary"]],
    ["frozen", freeze && [`by ${freeze.by} until ${clock(freeze.until_wall_ms)}: ${freeze.reason}`, "wary"]],
    ["lease", app.lease && leaseWords(app.lease)],
    ["sync set", ...Object.entries(app.sync_set || {}).map(([name, stacks]) => syncWords(name, stacks))],
    ["weak door", ...weakWords(app)],
    ["unready", ...list(app.unready).map(why => [why, "wary"]), ...notReady(app.app).map(words => [words, "wary"])],
    ["warning", ...list(app.warnings).map(it => [about(it), "wary"])],
    ["loss", ...losing.map(it => [`a move to ${it.stack} now would lose ${bytes(it.would_lose)}${within(it.would_lose_ms)} of log`, "wary"])],
    ["lost", ...Object.entries(app.lost || {}).map(([name, it]) => lostWords(name, it))],
    ["resolver", ...tailWords(app)],
    ["follows", ...list(app.following).map(followingWords)],
    // As the mesh shortens lifetimes: five seconds, and four times as long with each of three steps.
    ["kept", app.shortened > 0 && [`for ${5 * 4 ** (3 - app.shortened)} s, or the least a provider takes`]],
    ["damping", app.damping && app.damping.history.length > 0 && dampingWords(app.damping)],
    ["decided", [`${decision.kind} ${way(decision)}, by ${decision.by} at ${clock(decision.wall_ms)}`]],
    ["because", [decision.reason]],
    ["fence", ...Object.entries(decision.fence).map(([name, fence]) => [`${name}: ${fence.text}`, fence.proven ? "good" : "wary"])],
    ["left", decision.loss_bytes > 0 && [`${bytes(decision.loss_bytes)}${within(decision.loss_ms)} of log not taken over`, "wary"]],
  ].map(([name, ...said]) => [name, ...said.filter(Boolean)]).filter(([, said]) => said);
}
