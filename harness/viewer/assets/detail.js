// One turn: its request, entry by entry, the reply, the calls; or two turns beside each other.

function turnPanel(agent, turn, options) {
  const twin = agent.twin?.turns[turn.number - 1];
  if (!twin) return oneTurn(agent, turn, options);
  const both = agent.run.side ? [[agent.twin, twin], [agent, turn]] : [[agent, turn], [agent.twin, twin]];
  return el("div", { class: "beside" }, both.map(([one, its]) => oneTurn(one, its, one === agent ? options : {})));
}

function oneTurn(agent, turn, options) {
  const took = turn.start === null ? null : turn.end - turn.start;
  const facts = [
    ["tokens in", number(turn.total)], ["cached", number(turn.cached)], ["tokens out", number(turn.output)], ["cost", usd(turn.cost)], ["took", seconds(took)],
    ["sent before", turn.total ? Math.round(Math.min(1, turn.prefix / turn.total) * 100) + "%" : "–", "How much of the request the request before it began with"],
  ];
  return el("article", { class: "turn" },
    options.finding && findingBanner(options.finding),
    el("h3", {}, values.diff && el("span", { class: "side" }, "AB"[agent.run.side]), el("bdi", {}, agent.path), ` · turn ${turn.number} of ${agent.turns.length}`),
    el("p", { class: "dim" }, [turn.model, turn.stop && `ended with ${turn.stop}`, turn.retries ? `retried ${turn.retries}×` : ""].filter(Boolean).join(" · ")),
    el("dl", { class: "facts" }, facts.map(([name, value, title]) => el("div", { title }, el("dt", {}, name), el("dd", {}, value)))),
    turn.error && el("p", { class: "failed" }, turn.error),
    turn.breaks && el("p", { class: "note" }, `Does not begin with all of the request before it: ${turn.breaks}`),
    findingLinks(turn.marks),
    composition(agent, turn),
    request(agent, turn, options),
    replyAndCalls(agent, turn, options));
}

const findingLinks = (marks) => marks?.length ? el("p", { class: "chips" }, marks.slice(0, 12).map((finding) =>
  button([el("span", { class: "dot " + finding.severity }), finding.detector], () => openFinding(finding), { class: "chip", title: shown(finding.what) }))) : null;

function composition(agent, turn) {
  const sums = new Map();
  const plus = (kind, size) => sums.set(kind, (sums.get(kind) ?? 0) + size);
  for (const [, , size] of agent.definitions) plus("tool_definition", size);
  for (const entry of windowOf(agent, turn.number)) for (const [kind, , size] of entry.pieces) plus(KINDS[kind], size);
  if (turn.residual) plus("residual", Math.abs(turn.residual));
  const whole = [...sums.values()].reduce((a, b) => a + b, 0) || 1;
  const label = [...sums].map(([kind, size]) => `${kindName(kind)} ${number(size)}`).join(", ");
  return el("div", { class: "composition", role: "img", "aria-label": label, title: label },
    [...sums].map(([kind, size]) => el("i", { class: "k-" + kind, style: { width: (size / whole) * 100 + "%" } })));
}

function request(agent, turn, options) {
  const held = windowOf(agent, turn.number);
  const list = el("div", { class: "rows" });
  const definitions = agent.definitions.filter((one) => one[2]);
  const rows = [...(definitions.length ? [{ definitions }] : []), ...held.map((entry) => ({ entry }))];
  if (turn.residual) rows.push({ residual: turn.residual });
  const largest = Math.max(1, ...held.map((entry) => entry.size));
  const built = lazyList(list, rows, (row) => row.definitions ? definitionRow(row.definitions, options.tool)
    : row.residual ? el("div", { class: "row flat" }, el("i", { class: "swatch k-residual" }), el("span", { title: RESIDUAL }, "residual"), el("span", { class: "num" }, number(row.residual)))
    : entryRow(agent, row.entry, turn, largest, options));
  const wanted = options.entry && held.indexOf(options.entry);
  if (wanted >= 0) built.ensure(rows.findIndex((row) => row.entry === options.entry));
  const gone = agent.entries.filter((entry) => entry.gone && entry.last === turn.number - 1 && entry.first);
  return el("section", {}, el("h4", {}, `Request · ${count(rows.length, "entry").replace("entrys", "entries")}`, el("span", { class: "unit" }, "tokens")), list,
    gone.length > 0 && el("details", {}, el("summary", {}, `${gone.length} left the window before this turn`),
      gone.slice(0, 200).map((entry) => entryRow(agent, entry, turn, largest, {}))));
}

function definitionRow(definitions, chosen) {
  const size = definitions.reduce((sum, one) => sum + one[2], 0);
  const details = el("details", { class: "row" }, el("summary", {}, el("i", { class: "swatch k-tool_definition" }),
    el("span", { class: "label" }, count(definitions.length, "tool definition")), el("span", { class: "num" }, number(size))));
  const open = () => {
    if (details.childElementCount === 1) details.append(...definitions.map(([tool, , its, calls, number_]) =>
      el("details", { class: "row inner" + (tool === chosen ? " focus" : ""), open: tool === chosen, "data-tool": tool }, el("summary", {}, el("span", { class: "label" }, tool),
        el("span", { class: "dim" }, calls ? `called ${calls}×` : "never called"), el("span", { class: "num" }, number(its))), prose(pretty(text(number_)), tool === chosen ? [chosen] : []))));
  };
  details.addEventListener("toggle", open, { once: true });
  if (chosen) { open(); details.open = true; }
  return details;
}

function entryRow(agent, entry, turn, largest, options) {
  const kind = KINDS[entry.pieces[0]?.[0] ?? 0];
  const times = entry.last - entry.first + 1;
  const focus = options.entry === entry;
  const row = el("details", {
    class: "row entry" + (entry.first === turn.number ? " new" : "") + (values.diff && agent.twin && agent.own.has(entry.number) ? " differs" : "") + (focus ? " focus" : ""),
    title: values.diff && agent.twin && agent.own.has(entry.number) ? "The other run does not have it" : null, "data-entry": `${agent.path}#${entry.number}`,
  }, el("summary", {},
    entry.pieces.slice(0, 4).map(([one]) => el("i", { class: "swatch k-" + KINDS[one] })),
    el("span", { class: "label" }, el("bdi", {}, entry.origin === "assistant" ? `reply of turn ${entry.turn}` : entry.origin)),
    entry.marks && el("span", { class: "dot " + worst(entry.marks), title: shown(entry.marks.map((one) => one.what).join("\n")) }),
    isUnused(agent, entry) && el("span", { class: "tag" }, "unused"), isStale(entry) && el("span", { class: "tag" }, "stale"),
    el("span", { class: "peek dim" }, oneLine(text(entry.pieces[entry.pieces.length - 1]?.[3] ?? 0), 200)),
    el("span", { class: "bar" }, el("i", { class: "k-" + kind, style: { width: (entry.size / largest) * 100 + "%" } })),
    el("span", { class: "num" }, number(entry.size))));
  const open = () => {
    if (row.childElementCount > 1) return;
    const used = entry.uses === null ? "use not measurable" : entry.uses.length
      ? "used by the reply of turn " + entry.uses.slice(0, 8).map(([at, its]) => at + (its.length ? ` (${its.slice(0, 3).join(", ")})` : "")).join(", ") : "no later reply seems to use it";
    row.append(el("div", { class: "body" },
      el("p", { class: "dim" }, [`#${entry.number}`, `turns ${entry.first}–${entry.last}`, `sent ${count(times, "time")}`, `${number(entry.size * times)} token-turns`,
        entry.cached ? `${number(entry.cached)} cached` : "", entry.cost === null ? "" : usd(entry.cost), used, entry.gone && `left: ${entry.gone}`].filter(Boolean).join(" · ")),
      findingLinks(entry.marks),
      entry.pieces.map(([one, label, size, at]) => [entry.pieces.length > 1 && el("h5", {}, kindName(KINDS[one]), label && " · " + label, ` · ${number(size)}`),
        prose(KINDS[one] === "call" ? pretty(text(at)) : text(at), options.quotes ?? [])])));
  };
  row.addEventListener("toggle", () => { if (row.open) open(); });
  if (focus) { open(); row.open = true; }
  return row;
}

function replyAndCalls(agent, turn, options) {
  const reply = agent.entries[turn.reply];
  const said = reply?.pieces.filter((piece) => KINDS[piece[0]] !== "call");
  return el("section", {}, el("h4", {}, "Reply"),
    said && !said.length ? el("p", { class: "dim" }, "Only calls.") : said ? said.map(([kind, , size, at]) => [
      el("h5", {}, el("i", { class: "swatch k-" + KINDS[kind] }), kindName(KINDS[kind]), ` · ${number(size)}`), prose(text(at), options.quotes ?? [])])
      : el("p", { class: "dim" }, turn.error ? "The call failed." : "None is recorded."),
    turn.calls.length > 0 && el("h4", {}, count(turn.calls.length, "call")),
    turn.calls.map((index) => callRow(agent, agent.calls[index], options)));
}

function callRow(agent, call, options) {
  const row = el("details", { class: "row call" + (call.error ? " bad" : "") + (options.call === call ? " focus" : ""), "data-call": call.key }, el("summary", {},
    el("i", { class: "swatch k-" + (call.children.length ? "report" : "result") }), el("span", { class: "label" }, el("bdi", {}, call.tool)),
    Boolean(call.marks) && el("span", { class: "dot " + worst(call.marks) }),
    Boolean(call.error) && el("span", { class: "tag bad" }, call.errorType || "failed"),
    el("span", { class: "peek dim" }, oneLine(text(call.args), 200)),
    el("span", { class: "num" }, call.start === null ? "" : seconds(call.end - call.start))));
  const quotes = (options.quotes ?? []).map((quote) => quote.startsWith(call.tool + " ") ? quote.slice(call.tool.length + 1) : quote);
  const open = () => {
    state.call = call;
    lanesChart.redraw();
    if (row.childElementCount > 1) return;
    row.append(el("div", { class: "body" }, findingLinks(call.marks), flowLines(call),
      call.children.map((path) => agent.run.byPath.get(path)).filter(Boolean).map((child) =>
        button(`→ ${child.path}`, () => select(child, child.turns[0] ?? null), { class: "link" })),
      el("h5", {}, "arguments"), prose(pretty(text(call.args)), quotes),
      el("h5", {}, "result"), call.result === null ? el("p", { class: "dim" }, "none is carried") : prose(text(call.result), quotes),
      call.whole !== null && [el("h5", {}, "whole result, of which the model saw a part"), prose(text(call.whole), quotes)]));
  };
  row.addEventListener("toggle", () => { if (row.open) open(); });
  if (options.call === call) { open(); row.open = true; }
  return row;
}
