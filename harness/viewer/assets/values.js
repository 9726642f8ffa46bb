// The values of the page as objects, and the texts they name, parsed block by block when first needed.

const values = JSON.parse(document.getElementById("values").textContent);
const KINDS = values.kinds;
const SEVERITIES = ["error", "warning", "info"];

const objects = (rows, names) => rows.map((row) => {
  const made = {};
  for (let i = 0; i < names.length; i++) made[names[i]] = row[i];
  return made;
});

const runs = values.runs.map((run, side) => {
  run.side = side;
  run.byPath = new Map();
  run.callByKey = new Map();
  for (const agent of run.agents) {
    agent.run = run;
    agent.entries = objects(agent.entries, values.columns.entry);
    agent.turns = objects(agent.turns, values.columns.turn);
    agent.calls = objects(agent.calls, values.columns.call);
    agent.entries.forEach((entry, number) => { entry.number = number; entry.marks = null; });
    agent.turns.forEach((turn, index) => {
      turn.number = index + 1;
      turn.agent = agent;
      for (const call of turn.calls) agent.calls[call].turn = turn.number;
    });
    for (const call of agent.calls) { call.agent = agent; run.callByKey.set(call.key, call); }
    agent.ordered = agent.entries.filter((entry) => entry.first).sort((a, b) => a.place - b.place);
    agent.findings = [];
    agent.own = new Set();
    run.byPath.set(agent.path, agent);
  }
  run.findings.forEach((finding, index) => { finding.run = run; finding.index = index; });
  run.findings.forEach((finding) => markFinding(run, finding));
  for (const agent of run.agents) agent.depth = depthOf(run, agent);
  return run;
});

if (values.diff) for (const pair of values.diff.pairs) {
  const [left, right] = [runs[0].byPath.get(pair.left), runs[1].byPath.get(pair.right)];
  if (left) { left.pair = pair; left.twin = right; left.own = new Set(pair.leftOnly); }
  if (right) { right.pair = pair; right.twin = left; right.own = new Set(pair.rightOnly); }
}

function depthOf(run, agent) {
  let depth = 0;
  for (let up = run.byPath.get(agent.parent); up && depth < 12; up = run.byPath.get(up.parent)) depth++;
  return depth;
}

// Entries and turns that a finding is about know it, so that bars and lanes can show it.
function markFinding(run, finding) {
  const agent = run.byPath.get(finding.agent);
  if (agent) agent.findings.push(finding);
  const entries = [...finding.entries];
  for (const key of finding.calls) {
    const call = run.callByKey.get(key);
    if (call && call.entry >= 0) entries.push(`${call.agent.path}#${call.entry}`);
    if (call) (call.marks ||= []).push(finding);
  }
  finding.places = new Set();
  for (const id of new Set(entries)) {
    const entry = entryById(run, id);
    if (entry) (entry.marks ||= []).push(finding);
  }
  const turns = new Set(finding.turns);
  if (!turns.size) for (const key of finding.calls) {
    const call = run.callByKey.get(key);
    if (call && call.agent === agent) turns.add(call.turn);
  }
  if (agent && !turns.size && agent.turns.length) turns.add(agent.turns.length);
  finding.shownTurns = [...turns];
  for (const number of turns) {
    const turn = agent && agent.turns[number - 1];
    if (turn) (turn.marks ||= []).push(finding);
  }
}

function entryById(run, id) {
  const cut = id.lastIndexOf("#");
  const agent = run.byPath.get(id.slice(0, cut));
  return agent ? agent.entries[Number(id.slice(cut + 1))] : undefined;
}

const worst = (findings) => SEVERITIES.find((severity) => findings?.some((one) => one.severity === severity));
const worstOf = (findings) => findings.find((one) => one.severity === worst(findings));
const has = (entry, names) => entry.marks?.some((finding) => names.includes(finding.detector));
const isStale = (entry) => Boolean(has(entry, values.stale));
const carried = (entry) => entry.origin.startsWith("tool:") || entry.origin.startsWith("report:");
const isUnused = (agent, entry) => Boolean(has(entry, values.unused)) ||
  (carried(entry) && entry.uses !== null && !entry.uses.length && entry.first > 0);

// The entries that the request of a turn held, in order.
const windowOf = (agent, turn) => agent.ordered.filter((entry) => entry.first <= turn && turn <= entry.last);

const blocks = new Map();
function text(number) {
  if (!number) return "";
  const block = blockOf(number);
  return block ? block.texts[number - block.first] : "";
}
function textBlocks() {
  for (const element of document.querySelectorAll("script.texts")) {
    const first = Number(element.id.slice(6));
    if (!blocks.has(first)) blocks.set(first, { first, element, texts: null });
  }
  return [...blocks.values()].sort((a, b) => a.first - b.first);
}
function parsed(block) {
  if (!block.texts) { block.texts = JSON.parse(block.element.textContent); block.element = null; }
  return block;
}
let known = [];
function blockOf(number) {
  for (let again = 0; again < 2; again++) {
    for (let i = known.length - 1; i >= 0; i--) {
      if (known[i].first <= number && (again || i < known.length - 1 || document.readyState !== "loading")) {
        return parsed(known[i]);
      }
    }
    known = textBlocks();
  }
  return undefined;
}
