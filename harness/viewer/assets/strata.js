// The window of every turn as a stacked bar, entry upon entry in window order. An entry that stays where it
// is makes one band over many turns, so the cost of drawing is what changed and not turns times entries.

function strata(state, side, select) {
  let agent = null, bands = [], top = 1;
  const domain = () => [1, (agent?.turns.length ?? 1) + 1];
  const self = chart({
    label: "Tokens of each request by where they come from; j and k walk through the turns",
    height: 264, domain, hit, tip, pick: (found) => found.finding ? openFinding(found.finding) : select(agent, found.turn, { entry: found.entry }),
    draw(context, chart) { drawStrata(context, chart); },
  });
  const AXIS_Y = 20, TOP = 26;
  const scale = el("div", { class: "scale", "aria-hidden": "true" });
  self.element = el("div", { class: "strata" }, scale, self.holder);

  self.setAgent = (next) => {
    if (agent === next) { self.redraw(); return; }
    agent = next;
    bands = agent ? bandsOf(agent) : [];
    top = Math.max(1, ...[...agent?.turns ?? [], ...agent?.twin?.turns ?? []].map((turn) => Math.max(turn.total, turn.total - turn.residual)));
    if (agent?.limit && agent.limit < top * 1.6) top = Math.max(top, agent.limit * 1.02);
    scale.replaceChildren(...d3.ticks(0, top, 4).map((tick) => el("span", { style: { top: y(tick) + "px" } }, short(tick))));
    self.fit();
    if (agent?.pair && agent.pair.same > 4 && self.width) self.show(agent.pair.same - 1, agent.turns.length + 1);
    self.redraw();
  };
  const y = (tokens) => self.height - AXIS_Y - (tokens / top) * (self.height - AXIS_Y - TOP);

  function drawStrata(context, chart) {
    if (!agent) return;
    const low = chart.value(0), high = chart.value(chart.width);
    const unit = chart.x(2) - chart.x(1);
    drawScale(context, 0, chart.width);
    for (const band of bands) {
      if (band.to < low || band.from > high) continue;
      let lastKind = "", lastY = -1;
      const x = chart.x(band.from), w = chart.x(band.to) - x;
      for (const layer of band.layers) {
        const a = y(layer.start + layer.size), b = y(layer.start);
        if (b - a < 0.35 && layer.kind === lastKind && Math.abs(lastY - a) < 0.6 && !layer.mark) continue;
        lastKind = layer.kind; lastY = a;
        const lx = Math.max(x, chart.x(layer.from)), lw = Math.min(x + w, chart.x(layer.to)) - lx;
        if (lw <= 0 || lx > chart.width || lx + lw < 0) continue;
        context.globalAlpha = values.diff && agent.twin && layer.entry && !agent.own.has(layer.entry.number) ? 0.3 : 1;
        context.fillStyle = palette["k-" + layer.kind];
        context.fillRect(lx, a, lw, Math.max(0.6, b - a));
        if (b - a > 1) {
          if (layer.unused) { context.fillStyle = palette.hatch; context.globalAlpha *= 0.75; context.fillRect(lx, a, lw, b - a); }
          if (layer.stale) { context.fillStyle = palette.grain; context.globalAlpha = 0.35; context.fillRect(lx, a, lw, b - a); }
        }
        context.globalAlpha = 1;
        if (b - a > 5) { context.fillStyle = palette.paper; context.fillRect(lx, a, lw, 0.75); }
        if (layer.mark) { context.fillStyle = palette[layer.mark]; context.fillRect(lx, a, Math.min(3, lw), Math.max(2, b - a)); }
      }
    }
    drawTurns(context, chart, low, high, unit);
    drawNumbers(context, chart, low, high, unit);
  }

  function drawScale(context, x, width) {
    context.fillStyle = palette.line;
    for (const tick of d3.ticks(0, top, 4)) context.fillRect(x, Math.round(y(tick)), width, 1);
  }

  function drawNumbers(context, chart, low, high, unit) {
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = palette.dim;
    context.textAlign = "center";
    for (const tick of d3.ticks(low, high, Math.max(2, chart.width / 70))) {
      if (Number.isInteger(tick) && tick <= agent.turns.length && tick >= 1) context.fillText(String(tick), chart.x(tick) + unit / 2, chart.height - 6);
    }
    context.textAlign = "left";
  }

  function drawTurns(context, chart, low, high, unit) {
    const gap = Math.min(unit * 0.25, unit > 60 ? unit - 46 : unit * 0.18);
    const from = Math.max(1, Math.floor(low)), to = Math.min(agent.turns.length, Math.ceil(high));
    if (unit > 4) for (let t = from; t <= to + 1; t++) {
      context.fillStyle = palette.panel;
      context.fillRect(chart.x(t) - gap / 2, 0, gap, chart.height - AXIS_Y);
      drawScale(context, chart.x(t) - gap / 2, gap);
    }
    for (let t = from; t <= to; t++) {
      const turn = agent.turns[t - 1];
      const x = chart.x(t) + (unit > 4 ? gap / 2 : 0), w = unit > 4 ? unit - gap : unit;
      if (turn.residual > 0 && unit > 1.5) {
        context.fillStyle = palette["k-residual"];
        context.fillRect(x, y(turn.total), w, y(turn.total - turn.residual) - y(turn.total));
      } else if (turn.residual < 0 && unit > 4) {
        context.fillStyle = palette.dim;
        context.fillRect(x, y(turn.total), w, 1.5);
      }
      if (turn.breaks && unit > 3) {
        context.fillStyle = palette.warning;
        context.fillRect(x - gap / 2 - 1, y(turn.total) - 8, 2, self.height - AXIS_Y - y(turn.total) + 8);
      }
      if (turn.marks && unit > 3) drawMark(context, x + w / 2, markY(turn), worst(turn.marks));
      if (turn === state.turn || (turn.agent.twin && state.turn?.agent === turn.agent.twin && state.turn.number === t)) {
        context.strokeStyle = palette.ink;
        context.lineWidth = 1.5;
        context.strokeRect(x - 1, y(turn.total) - 2, Math.max(3, w + 2), self.height - AXIS_Y - y(turn.total) + 3);
      }
    }
    if (agent.limit && agent.limit <= top) {
      context.strokeStyle = palette.error;
      context.setLineDash([5, 4]);
      context.beginPath(); context.moveTo(0, y(agent.limit)); context.lineTo(chart.width, y(agent.limit)); context.stroke();
      context.setLineDash([]);
      context.fillStyle = palette.dim;
      context.fillText(`limit ${short(agent.limit)}`, chart.width - 76, y(agent.limit) + 12);
    }
  }

  function layerAt(x, py) {
    if (!agent) return null;
    const t = Math.floor(self.value(x));
    const turn = agent.turns[t - 1];
    if (!turn) return null;
    if (turn.marks && self.x(2) - self.x(1) > 3 && Math.abs(py - markY(turn) - 3) < 6) return { turn, finding: worstOf(turn.marks) };
    const tokens = ((self.height - AXIS_Y - py) / (self.height - AXIS_Y - TOP)) * top;
    const band = bands.find((one) => one.from <= t && t < one.to);
    const layer = band?.layers.find((one) => one.from <= t && t < one.to && one.start <= tokens && tokens < one.start + one.size);
    return { turn, layer, entry: layer?.entry };
  }
  const markY = (turn) => y(turn.total) - 10;
  function hit(x, py) { return layerAt(x, py); }
  function tip({ turn, layer, finding }) {
    if (finding) return findingTip(finding);
    const head = `turn ${turn.number} · ${number(turn.total)} tokens`;
    if (!layer) return [head, turn.breaks && `prefix breaks: ${turn.breaks}`].filter(Boolean);
    const entry = layer.entry;
    return [head, `${kindName(layer.kind)}${layer.label ? " · " + layer.label : ""}: ${number(layer.size)} tokens`,
      entry && `#${entry.number}, turns ${entry.first}–${entry.last}, sent ${entry.last - entry.first + 1} times`,
      layer.unused && "nothing later seems to use it", layer.stale && "stale: something newer replaced it, or it only takes room",
      ...(entry?.marks ?? []).slice(0, 3).map((one) => `${one.severity}: ${oneLine(one.what, 80)}`)].filter(Boolean);
  }
  return self;
}

// Stretches of turns in which nothing left the window and nothing came between, with their layers.
function bandsOf(agent) {
  const breaks = new Set([1]);
  for (const entry of agent.entries) {
    if (!entry.first) continue;
    if (entry.last < agent.turns.length) breaks.add(entry.last + 1);
    if (entry.place !== entry.number) breaks.add(entry.first);
  }
  const starts = [...breaks].sort((a, b) => a - b);
  const shades = new Map();
  return starts.map((from, i) => {
    const to = (starts[i + 1] ?? agent.turns.length + 1);
    const layers = [];
    let start = 0;
    for (const [tool, , size] of agent.definitions) {
      if (size) layers.push({ start, size, from, to, kind: "tool_definition", label: tool });
      start += size;
    }
    for (const entry of agent.ordered) {
      if (entry.last < from || entry.first >= to) continue;
      let shade = shades.get(entry);
      if (!shade) {
        shade = { unused: isUnused(agent, entry), stale: isStale(entry), mark: worst(entry.marks) };
        shades.set(entry, shade);
      }
      for (const [kind, label, size] of entry.pieces) {
        if (size) layers.push({ start, size, from: Math.max(from, entry.first), to, kind: KINDS[kind], label, entry, ...shade });
        start += size;
      }
    }
    return { from, to, layers };
  });
}

const RESIDUAL = "What the provider counted beyond the entries that are known";

function legend() {
  const used = KINDS.filter((kind) => runs.some((run) => run.byKind[kind]));
  return el("div", { class: "legend" },
    used.map((kind) => el("span", {}, el("i", { class: "swatch k-" + kind }), kindName(kind))),
    el("span", { title: "Nothing later seems to use it" }, el("i", { class: "swatch hatched" }), "unused"),
    el("span", { title: "Something newer replaced it, or it only takes room" }, el("i", { class: "swatch grained" }), "stale"),
    el("span", { title: RESIDUAL }, el("i", { class: "swatch k-residual" }), "residual"));
}
