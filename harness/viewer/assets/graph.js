// The plan as a graph (laid out by dagre), or the tree of agents where there is no plan.

const GRAPH_LIMIT = 150;

function planGraph(run, version, select) {
  const plan = run.plans[version];
  const nodes = plan.tasks.map((task) => ({
    id: task.id, title: task.id, agent: task.agent, text: text(task.text), run: run.byPath.get(task.run),
    needs: task.needs, kept: plan.kept.includes(task.id),
  }));
  return drawGraph(run, nodes, select);
}

function agentGraph(run, select) {
  const nodes = run.agents.slice(0, GRAPH_LIMIT).map((agent) => ({
    id: agent.path, title: agent.path.split("/").pop(), agent: agent.model, text: text(agent.brief), run: agent,
    needs: run.byPath.has(agent.parent) ? [agent.parent] : [],
  }));
  const drawn = drawGraph(run, nodes, select);
  if (run.agents.length > GRAPH_LIMIT) drawn.append(el("p", { class: "dim" }, `and ${number(run.agents.length - GRAPH_LIMIT)} more agents, in the lanes below`));
  return drawn;
}

function drawGraph(run, nodes, select) {
  const graph = new dagre.graphlib.Graph().setGraph({ rankdir: "LR", nodesep: 12, ranksep: 36, marginx: 4, marginy: 4 });
  graph.setDefaultEdgeLabel(() => ({}));
  const ids = new Set(nodes.map((node) => node.id));
  for (const node of nodes) graph.setNode(node.id, { width: 176, height: 46, node });
  for (const node of nodes) for (const need of node.needs) if (ids.has(need)) graph.setEdge(need, node.id);
  dagre.layout(graph);
  const { width, height } = graph.graph();
  const down = downwards(nodes.map((node) => graph.node(node.id)), height);
  const drawing = svg("svg", { width: Math.max(1, width), height: Math.max(1, height), viewBox: `0 0 ${Math.max(1, width)} ${Math.max(1, height)}`, class: "graph" });
  for (const edge of graph.edges()) {
    const points = graph.edge(edge).points;
    drawing.append(svg("path", { class: "edge", d: curve(points.map((point) => ({ x: point.x, y: down(point.y) }))) }));
  }
  for (const id of graph.nodes()) {
    const { x, y, node } = graph.node(id);
    const go = () => node.run && select(node.run, node.run.turns[0] ?? null);
    const status = node.run ? node.run.status || (run.outcome === "done" ? "ended" : "open") : node.kept ? "kept" : "waiting";
    const box = svg("g", {
      class: `node ${status}${node.run ? " link" : ""}`, transform: `translate(${x - 88},${down(y) - 23})`, role: "button", tabindex: "0",
      "aria-label": shown(`${node.title}, ${node.agent}, ${status}`),
      on: { click: go, keydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go(); } } },
    }, svg("rect", { width: 176, height: 46, rx: 6 }),
      svg("circle", { cx: 13, cy: 16, r: 4, class: "status" }),
      svg("text", { x: 24, y: 20, class: "name" }, oneLine(node.title, 21)),
      svg("text", { x: 12, y: 37, class: "about" }, oneLine([node.agent, node.text].filter(Boolean).join(" · "), 27)),
      svg("title", {}, `${node.title} (${status})\n${node.text.slice(0, 400)}`));
    drawing.append(box);
  }
  const holder = el("div", { class: "graph-holder", tabindex: "0", role: "group", "aria-label": "Graph of tasks or agents" }, drawing);
  const first = nodes.length ? down(graph.node(nodes[0].id).y) : 0;
  requestAnimationFrame(() => { holder.scrollTop = first - holder.clientHeight / 2; });
  return holder;
}

// The layout does not care which way up it stands; what comes first is wanted above.
function downwards(places, height) {
  let rising = 0;
  for (let i = 1; i < places.length; i++) if (places[i].x === places[i - 1].x) rising += places[i].y < places[i - 1].y ? 1 : -1;
  return rising > 0 ? (y) => height - y : (y) => y;
}

function curve(points) {
  let path = `M${points[0].x},${points[0].y}`;
  for (let i = 1; i < points.length - 1; i++) {
    const next = points[i + 1];
    path += `Q${points[i].x},${points[i].y} ${(points[i].x + next.x) / 2},${(points[i].y + next.y) / 2}`;
  }
  const last = points[points.length - 1];
  return `${path}L${last.x},${last.y}`;
}
