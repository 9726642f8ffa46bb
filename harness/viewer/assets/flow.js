// Where the arguments of a call came from and where its result went: a distinctive value that stood first in the
// one and later in the other. A value of a brief came with the call that asked for the agent.

function sourceOf(call, [value, number]) {
  const { agent } = call;
  const entry = number < 0 ? holding(call, value) : agent.entries[number];
  if (!entry) return {};
  return { entry, call: entry.origin === "brief" ? agent.run.callByKey.get(agent.parentCall) : agent.calls[entry.call] };
}

// The first entry before a call that holds a value as part of something longer, such as a path in `path:3-4`.
function holding(call, value) {
  const { agent } = call, reply = agent.turns[call.turn - 1].reply;
  for (let i = 0; i < reply; i++) {
    if (agent.entries[i].pieces.some(([, , , at]) => text(at).includes(value))) return agent.entries[i];
  }
  return undefined;
}

// What came into a call and what went out of it, one link for each call or entry at the other end.
function flowOf(call) {
  if (call.flow) return call.flow;
  const { run } = call.agent;
  const shown = text(call.whole ?? call.result), asked = call.children.length ? text(call.args) : "";
  const out = [];
  for (const agent of run.agents) {
    if (agent !== call.agent && agent.parentCall !== call.key) continue;
    for (const one of agent.calls) for (const source of one.sources) {
      if ((shown.includes(source[0]) || asked.includes(source[0])) && sourceOf(one, source).call === call) out.push({ value: source[0], call: one });
    }
  }
  const into = call.sources.map((source) => ({ value: source[0], ...sourceOf(call, source) }));
  const by = (links) => [...Map.groupBy(links, (link) => link.call ?? link.entry)].map(([, same]) =>
    ({ ...same[0], values: same.map((link) => link.value) }));
  return call.flow = { into: by(into), out: by(out) };
}

function flowLines(call) {
  const { into, out } = flowOf(call);
  const line = (link) => el("li", {}, linkTo(call, link), " ", link.values.map((value) => el("code", {}, oneLine(value, 80))));
  const list = (name, title, links) => links.length > 0 && [el("h5", { title }, name), el("ul", { class: "flow " + name.split(" ").at(-1) },
    links.slice(0, 30).map(line), links.length > 30 && el("li", { class: "dim" }, `and ${number(links.length - 30)} more`))];
  return [list("its arguments came from", "Where each distinctive value of the arguments was first seen", into),
    list("its result went to", "Later calls whose arguments hold a value that this result was the first to show", out)];
}

function linkTo(call, { call: other, entry, values }) {
  const { agent } = call;
  if (other) {
    const where = other.agent === agent ? "" : `${other.agent.path}, `;
    return button(`${other.tool}, ${where}turn ${other.turn}`, () =>
      select(other.agent, other.agent.turns[other.turn - 1], { call: other, quotes: values }), { class: "link" });
  }
  if (!entry) return el("span", { class: "dim" }, "nothing before it:");
  const turn = entry.first ? Math.min(call.turn, entry.last) : entry.turn;
  const name = entry.origin === "assistant" ? `the reply of turn ${entry.turn}` : entry.origin;
  return button(name, () => select(agent, agent.turns[turn - 1] ?? agent.turns[0], { entry, quotes: values }), { class: "link" });
}
