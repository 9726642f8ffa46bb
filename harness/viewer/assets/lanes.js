// A lane per agent over time: replies above, tool calls below, the critical path underneath.

const ROW = 34, AXIS = 22;

function lanes(state, select) {
  const rows = laneRows();
  const fold = foldOf();
  const shownRows = Math.min(rows.length, runs.length > 1 ? 14 : 12);
  const rowOf = new Map(rows.map((row, index) => [row.agent, index]));
  const paths = runs.map((run) => pathByAgent(run));
  let first = 0;
  const span = (thing, which) => {
    const timed = state.axis === "time";
    const start = timed ? thing.start : thing.stepStart, end = timed ? thing.end : thing.stepEnd;
    return which ? fold(end) : fold(start);
  };
  function foldOf() {
    const at = values.diff?.first?.step ?? 0;
    return (value) => {
      if (state.axis === "time" || state.unfolded || at < 4) return value;
      return value < at ? (value / at) * 3 : value - at + 3;
    };
  }
  const extent = { time: 0, step: 0 };
  for (const row of rows) {
    extent.time = Math.max(extent.time, row.agent.time?.[1] ?? 0);
    extent.step = Math.max(extent.step, row.agent.step[1]);
  }
  const domain = () => [0, (state.axis === "time" ? extent.time : fold(extent.step)) * 1.01 || 1];

  const self = chart({
    label: "Agents over time; the list of lanes beside it has the same agents, j and k walk through turns",
    height: AXIS + shownRows * ROW, domain, hit, tip,
    pick: (found) => found.finding ? openFinding(found.finding) : select(found.agent, found.turn, { call: found.call }),
    draw(context, chart) { drawLanes(context, chart); },
  });

  function visibleTurns(agent) {
    const low = self.value(0), high = self.value(self.width);
    const turns = agent.turns;
    let a = 0, b = turns.length;
    while (a < b) { const mid = (a + b) >> 1; if (turnEnd(turns[mid]) < low) a = mid + 1; else b = mid; }
    return [a, high];
  }
  function turnEnd(turn) {
    let end = span(turn, 1);
    for (const index of turn.calls) end = Math.max(end, span(turn.agent.calls[index], 1));
    return end;
  }

  function drawLanes(context, chart) {
    drawAxis(context, chart);
    context.save();
    context.beginPath();
    context.rect(0, AXIS, chart.width, chart.height - AXIS);
    context.clip();
    const top = scroller.scrollTop;
    first = Math.floor(top / ROW);
    for (let i = first; i < rows.length; i++) {
      const y = AXIS + i * ROW - top;
      if (y > chart.height) break;
      drawLane(context, chart, rows[i], y);
    }
    if (state.call) drawFlow(context, chart, state.call, top);
    context.restore();
    drawLabels(top);
  }

  function drawAxis(context, chart) {
    const [low, high] = [chart.value(0), chart.value(chart.width)];
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = palette.dim;
    context.strokeStyle = palette.faint;
    context.lineWidth = 1;
    for (const tick of d3.ticks(low, high, Math.max(2, chart.width / 110))) {
      const x = Math.round(chart.x(tick)) + 0.5;
      context.beginPath(); context.moveTo(x, AXIS - 4); context.lineTo(x, chart.height); context.stroke();
      const label = state.axis === "time" ? (tick ? seconds(tick) : "0") : `step ${number(tick)}`;
      const fits = x + 3 + context.measureText(label).width <= chart.width;
      if (fits && (state.axis === "time" || Number.isInteger(tick))) context.fillText(label, x + 3, 12);
    }
    const at = values.diff?.first?.step;
    if (at !== undefined && state.axis === "step") {
      const x = chart.x(fold(at));
      context.fillStyle = palette.faint;
      context.globalAlpha = 0.6;
      context.fillRect(chart.x(0), AXIS, x - chart.x(0), chart.height);
      context.globalAlpha = 1;
      context.strokeStyle = palette.accent;
      context.setLineDash([4, 3]);
      context.beginPath(); context.moveTo(x, AXIS - 6); context.lineTo(x, chart.height); context.stroke();
      context.setLineDash([]);
    }
  }

  function drawLane(context, chart, row, y) {
    const { agent } = row;
    const bounds = state.axis === "time" ? agent.time : agent.step;
    if (agent.path === state.agent?.path && agent.run === state.agent.run) {
      context.fillStyle = palette.faint;
      context.globalAlpha = 0.7;
      context.fillRect(0, y, chart.width, ROW - 1);
      context.globalAlpha = 1;
    }
    if (bounds) {
      const [a, b] = [chart.x(fold(bounds[0])), chart.x(fold(bounds[1]))];
      context.fillStyle = palette.line;
      context.fillRect(a, y + 10, Math.max(1, b - a), 1);
    }
    drawPath(context, chart, agent, y);
    const [from, high] = visibleTurns(agent);
    let lastReply = -9, lastCall = -9, lastMark = -99;
    for (let i = from; i < agent.turns.length; i++) {
      const turn = agent.turns[i];
      const begin = span(turn, 0);
      if (begin > high) break;
      const x = chart.x(begin), w = Math.max(1.5, chart.x(span(turn, 1)) - x);
      const selected = turn === state.turn;
      const strength = values.diff && agent.pair && turn.number <= agent.pair.same ? 0.35 : 1;
      if (x + w > lastReply + 0.7 || selected || turn.error) {
        context.globalAlpha = strength;
        context.fillStyle = turn.error ? palette.error : palette["k-text"];
        context.fillRect(x, y + 5, w, 11);
        if (turn.retries && w > 3) { context.fillStyle = palette.warning; context.fillRect(x, y + 5, Math.min(w, 4), 11); }
        context.globalAlpha = 1;
        lastReply = x + w;
      }
      for (const index of turn.calls) {
        const call = agent.calls[index];
        const cx = chart.x(span(call, 0)), cw = Math.max(1.5, chart.x(span(call, 1)) - cx);
        if (cx + cw <= lastCall + 0.7 && !call.error) continue;
        const many = turn.calls.length, h = many > 1 ? Math.max(2, 9 / Math.min(many, 4)) : 9;
        const cy = y + 18 + (many > 1 ? (turn.calls.indexOf(index) % 4) * h : 0);
        context.fillStyle = call.error ? palette.error : call.children.length ? palette["k-report"] : palette["k-result"];
        context.globalAlpha = strength * (call.children.length ? 0.45 : 1);
        context.fillRect(cx, cy, cw, Math.max(1.5, h - 0.8));
        context.globalAlpha = 1;
        if (many === 1) lastCall = cx + cw;
      }
      if (selected) {
        context.strokeStyle = palette.ink;
        context.lineWidth = 1.5;
        context.strokeRect(x - 2, y + 3, Math.max(6, w + 4), 15);
      }
      if (turn.marks && x > lastMark + 5) { drawMark(context, markAt(turn), y + 1, worst(turn.marks)); lastMark = x; }
    }
  }

  const markAt = (turn) => {
    const x = self.x(span(turn, 0));
    return x + Math.min(Math.max(1.5, self.x(span(turn, 1)) - x) / 2, 6);
  };

  // Links from the calls that the selected one took its arguments from, and to those its result went to.
  function drawFlow(context, chart, call, top) {
    const place = (one) => [chart.x(span(one, 0)), chart.x(span(one, 1)), AXIS + (rowOf.get(one.agent) ?? 0) * ROW - top + 22];
    const { into, out } = flowOf(call);
    const links = [...into.map((link) => [link.call, call]), ...out.map((link) => [call, link.call])].filter(([a]) => a);
    context.strokeStyle = context.fillStyle = palette.accent;
    for (const [from, to] of links) {
      const [begin, end, y] = place(from), [x, , y2] = place(to);
      const start = from.children.length ? begin : Math.min(end, x);
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(start, y);
      context.bezierCurveTo(start, y - (y === y2 ? 20 : 0), x, y2 - 20, x, y2);
      context.stroke();
      context.beginPath(); context.arc(x, y2, 2.5, 0, 7); context.fill();
    }
    const [begin, end, y] = place(call);
    context.strokeStyle = palette.ink;
    context.strokeRect(begin - 2, y - 6, Math.max(6, end - begin + 4), 13);
  }

  function drawPath(context, chart, agent, y) {
    const steps = paths[agent.run.side].get(agent.path);
    if (!steps) return;
    context.fillStyle = palette.ink;
    for (const [thing] of steps) {
      const a = chart.x(span(thing, 0)), b = chart.x(span(thing, 1));
      if (b < 0 || a > chart.width) continue;
      context.fillRect(a, y + ROW - 4, Math.max(1, b - a), 2);
    }
  }

  function hit(x, y) {
    const row = rows[Math.floor((y - AXIS + scroller.scrollTop) / ROW)];
    if (y < AXIS || !row) return null;
    const [from, high] = visibleTurns(row.agent);
    const low = (y - AXIS + scroller.scrollTop) % ROW > 17;
    const onMark = (y - AXIS + scroller.scrollTop) % ROW < 9;
    let best = null, distance = 7;
    for (let i = Math.max(0, from - 1); i < row.agent.turns.length; i++) {
      const turn = row.agent.turns[i];
      if (span(turn, 0) > high) break;
      if (onMark && turn.marks && Math.abs(markAt(turn) - x) < 5) {
        return { agent: row.agent, turn, finding: worstOf(turn.marks) };
      }
      const things = low ? turn.calls.map((index) => row.agent.calls[index]) : [turn];
      for (const thing of things) {
        const a = self.x(span(thing, 0)), b = self.x(span(thing, 1));
        const away = x < a ? a - x : x > b ? x - b : 0;
        if (away < distance) { distance = away; best = { agent: row.agent, turn, call: low ? thing : null }; }
      }
    }
    return best;
  }

  function tip({ agent, turn, call, finding }) {
    if (finding) return findingTip(finding);
    const took = (thing) => thing.start === null ? "" : seconds(thing.end - thing.start);
    const marks = (call?.marks ?? turn.marks ?? []).map((one) => `${one.severity}: ${oneLine(one.what, 90)}`);
    if (call) return [call.tool, oneLine(text(call.args), 90), `${took(call)} ${call.error ? "failed " + call.errorType : ""}`, ...marks];
    return [`${agent.path} · turn ${turn.number}`, `${number(turn.total)} tokens in${turn.output === null ? "" : `, ${number(turn.output)} out`}`,
      `${took(turn)} ${turn.retries ? count(turn.retries, "retry").replace("retrys", "retries") : ""}`, turn.error, ...marks].filter(Boolean);
  }

  const labels = el("div", { class: "lane-labels" });
  function drawLabels(top) {
    const visible = rows.slice(first, first + shownRows + 2);
    const focused = labels.contains(document.activeElement) ? document.activeElement.dataset.row : null;
    labels.replaceChildren(...visible.map((row, i) => {
      const made = button([
        runs.length > 1 && el("span", { class: "side" }, "AB"[row.agent.run.side]),
        el("bdi", {}, row.agent.path.split("/").pop() || row.agent.name),
        row.agent.findings.length > 0 && el("span", { class: "dot " + worst(row.agent.findings) }),
      ], () => select(row.agent, row.agent.turns[0] ?? null), {
        class: "lane-label" + (row.agent === state.agent ? " on" : ""), "data-row": first + i, title: shown(row.agent.path),
        "aria-label": shown(`${row.agent.path}, ${row.agent.status || "not ended"}, ${count(row.agent.turns.length, "turn")}`),
        style: { top: AXIS + (first + i) * ROW - top + "px", "padding-left": 8 + row.agent.depth * 12 + "px" },
      });
      return made;
    }));
    if (focused !== null) labels.querySelector(`[data-row="${Number(focused)}"]`)?.focus({ preventScroll: true });
  }

  const view = el("div", { class: "lanes-view" }, labels, self.holder);
  const inner = el("div", { class: "lanes-inner" }, view);
  const scroller = el("div", { class: "lanes-scroll" }, inner);
  inner.style.height = AXIS + rows.length * ROW + "px";
  scroller.style.maxHeight = view.style.height = self.height + "px";
  scroller.addEventListener("scroll", self.redraw, { passive: true });
  self.element = scroller;
  self.reveal = (agent, turn) => {
    const y = (rowOf.get(agent) ?? 0) * ROW;
    if (y < scroller.scrollTop || y + ROW + AXIS > scroller.scrollTop + self.height) scroller.scrollTop = Math.max(0, y - self.height / 3);
    if (turn && self.width) {
      const x = self.x(span(turn, 0));
      if (x < 0 || x > self.width) {
        const half = (self.value(self.width) - self.value(0)) / 2, at = span(turn, 0);
        self.show(Math.max(0, at - half), at + half);
      }
    }
    self.redraw();
  };
  return self;
}

function laneRows() {
  if (!values.diff) return runs[0].agents.map((agent) => ({ agent }));
  return values.diff.pairs.flatMap((pair) => [runs[0].byPath.get(pair.left), runs[1].byPath.get(pair.right)])
    .filter(Boolean).map((agent) => ({ agent }));
}

function pathByAgent(run) {
  const found = new Map();
  for (const [path, number, key] of run.path) {
    const agent = run.byPath.get(path);
    const thing = key ? run.callByKey.get(key) : agent?.turns[number - 1];
    if (!thing) continue;
    if (!found.has(path)) found.set(path, []);
    found.get(path).push([thing]);
  }
  return found;
}

function drawMark(context, x, y, severity) {
  context.fillStyle = palette[severity];
  context.beginPath();
  context.moveTo(x - 4, y); context.lineTo(x + 4, y); context.lineTo(x, y + 6);
  context.fill();
}
