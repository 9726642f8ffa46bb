// The page as a whole: head, plan, lanes, windows, and the panel beside them; keys.

const state = { agent: null, turn: null, call: null, finding: null, axis: runs.every((run) => run.timed) && !values.diff ? "time" : "step", unfolded: false };
let lanesChart, strataCharts = [], tabs = {}, turnBox, findingsBox, searchBox, windowsTitle;

function select(agent, turn, options = {}) {
  state.agent = agent;
  state.turn = turn;
  state.call = options.call ?? null;
  lanesChart.reveal(agent, turn);
  showWindows(agent);
  turnBox.replaceChildren(turn ? turnPanel(agent, turn, options) : agentPanel(agent));
  if (options.quiet) return;
  openTab("turn");
  const focus = turnBox.querySelector(".focus");
  const marks = [...focus?.querySelectorAll("mark") ?? []];
  bringIntoView(marks.find((mark) => mark.textContent === options.quotes?.[0]) ?? marks[0] ?? focus);
  focus?.querySelector("summary").focus({ preventScroll: true });
  if (turn) announce(`${agent.path}, turn ${turn.number}, ${number(turn.total)} tokens`);
}

// Beside the charts only the panel scrolls; below them, the page does.
function bringIntoView(element) {
  const body = turnBox.closest(".panel-body");
  if (innerWidth <= 1000) { (element ?? turnBox).scrollIntoView({ block: element ? "center" : "nearest" }); return; }
  if (!element) { body.scrollTop = 0; return; }
  for (let box = element.parentElement; box !== body.parentElement; box = box.parentElement) {
    if (box.scrollHeight > box.clientHeight) box.scrollTop += element.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
  }
  element.scrollIntoView({ block: "nearest" });
}

function showWindows(agent) {
  const sides = values.diff ? [agent.run.side ? agent.twin : agent, agent.run.side ? agent : agent.twin] : [agent];
  strataCharts.forEach((chart, side) => { chart.setAgent(sides[side] ?? null); });
  windowsTitle.replaceChildren("Window of ", el("bdi", {}, agent.path), values.diff && agent.pair ? ` · ${count(agent.pair.same, "turn")} the same` : "");
}

const agentPanel = (agent) => el("article", { class: "turn" }, el("h3", {}, agent.path), el("p", { class: "dim" }, "It took no turn."), agent.error && el("p", { class: "failed" }, agent.error));

function head() {
  const theme = button("◐", () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    repaint();
  }, { "aria-label": "Light or dark", title: "Light or dark" });
  return el("header", { class: "head" }, el("div", { class: "tools" }, button("search /", () => openSearch()), button("?", toggleHelp, { "aria-label": "Keys" }), theme),
    el("div", { class: "runs" }, runs.map((run) => el("div", { class: "run" },
      el("h1", {}, values.diff && el("span", { class: "side" }, "AB"[run.side]), el("bdi", {}, run.name || run.id), el("span", { class: "outcome " + run.outcome }, run.outcome)),
      el("p", { class: "task" }, oneLine(text(run.task), 400)),
      el("dl", { class: "totals" }, totals(run).map(([name, value, title]) => el("div", { title }, el("dd", {}, value), el("dt", {}, name)))),
      run.error && el("p", { class: "failed" }, run.error),
      el("details", { class: "about" }, el("summary", {}, `run ${oneLine(run.id, 60)}${run.notes.length ? ` · ${count(run.notes.length, "note")}` : ""}`),
        el("p", { class: "dim" }, `read from ${run.source}, ${count(run.totals.spans, "event or span")}`.replace("event or spans", "events or spans")),
        run.notes.map((note) => el("p", { class: "dim" }, note)), el("h5", {}, "task"), prose(text(run.task)), el("h5", {}, "answer"), prose(text(run.answer)))))));
}

function totals(run) {
  const t = run.totals;
  const found = SEVERITIES.filter((one) => run.severities[one]).map((one) => el("span", { class: "found" }, el("span", { class: "dot " + one }), run.severities[one]));
  return [["agents", number(t.agents)], ["turns", number(t.turns)], ["calls", number(t.calls)], ["tokens sent", short(t.sent), "Tokens of all requests together"], ["tokens out", short(t.output)],
    ["cost", usd(t.cost)], ["time", seconds(t.seconds)], ["re-sent", t.resend ? t.resend.toFixed(1) + "×" : "–", "How often a token was sent, on average"], ["findings", found.length ? found : "none"]];
}

function planSection() {
  if (runs.every((run) => run.agents.length < 2 && !run.plans.length)) return null;
  const section = el("section", { class: "card" });
  for (const run of runs) {
    const holder = el("div");
    const draw = (version) => holder.replaceChildren(version === null ? agentGraph(run, select) : planGraph(run, version, select));
    const picks = run.plans.map((plan, i) => button(`${run.plans.length > 1 ? oneLine(plan.agent, 24) + " " : ""}v${plan.version}`, () => draw(i)));
    section.append(el("h2", {}, values.diff ? ["Plan ", el("span", { class: "side" }, "AB"[run.side])] : run.plans.length ? "Plan" : "Agents",
      run.plans.length > 0 && el("span", { class: "zoom" }, run.plans.length > 1 && picks, button("agents", () => draw(null)), run.plans.length === 1 && button("plan", () => draw(0)))), holder);
    draw(run.plans.length ? run.plans.length - 1 : null);
  }
  return section;
}

function lanesSection() {
  lanesChart = lanes(state, select);
  const timed = runs.every((run) => run.timed);
  const axis = button(state.axis === "time" ? "by steps" : "by time", () => {
    state.axis = state.axis === "time" ? "step" : "time";
    axis.textContent = state.axis === "time" ? "by steps" : "by time";
    lanesChart.fit();
  });
  const fold = (values.diff?.first?.step ?? 0) >= 4 && button("unfold what is the same", () => {
    state.unfolded = !state.unfolded;
    fold.textContent = state.unfolded ? "fold what is the same" : "unfold what is the same";
    lanesChart.fit();
  });
  return el("section", { class: "card" }, el("h2", {}, "Agents over time", el("span", { class: "zoom" }, fold, timed && axis), zoomButtons(() => lanesChart)), lanesChart.element,
    el("div", { class: "legend" }, el("span", {}, el("i", { class: "swatch k-text" }), "reply"), el("span", {}, el("i", { class: "swatch k-result" }), "tool call"),
      el("span", {}, el("i", { class: "swatch k-report" }), "sub-agent"), el("span", {}, el("i", { class: "swatch error" }), "failed"), el("span", {}, el("i", { class: "swatch path" }), "critical path"),
      el("span", { title: "Values of a result that stand in the arguments of a later call" }, el("i", { class: "swatch flow-line" }), "data of the chosen call"),
      el("span", { class: "dim" }, "drag to pan, ctrl+wheel to zoom")));
}

function windowsSection() {
  windowsTitle = el("span");
  strataCharts = runs.map((_, side) => strata(state, side, select));
  return el("section", { class: "card" }, el("h2", {}, windowsTitle, zoomButtons(() => ({ zoomBy: (by) => strataCharts.forEach((one) => one.zoomBy(by)), fit: () => strataCharts.forEach((one) => one.fit()) }))),
    el("div", { class: values.diff ? "beside" : "" }, strataCharts.map((one) => one.element)), legend());
}

function differenceSection() {
  if (!values.diff) return null;
  const [a, b] = runs.map((run) => run.totals);
  const names = [["agents", number, "agents"], ["turns", number, "turns"], ["calls", number, "calls"], ["tokens sent", number, "sent"],
    ["tokens out", number, "output"], ["cost", usd, "cost"], ["time", seconds, "seconds"]];
  const first = values.diff.first;
  const pair = first && values.diff.pairs[first.pair];
  const go = () => {
    const agent = runs[0].byPath.get(pair.left)?.turns[first.turn - 1] ? runs[0].byPath.get(pair.left) : runs[1].byPath.get(pair.right);
    select(agent, agent.turns[first.turn - 1]);
  };
  return el("section", { class: "card" }, el("h2", {}, "Difference"),
    first ? el("p", {}, "They part at ", button(`${pair.left || pair.right}, turn ${first.turn}`, go, { class: "link" }), values.diff.pairs.length > 1 ? `; ${number(values.diff.pairs.filter((one) => one.equal).length)} of ${count(values.diff.pairs.length, "agent run")} did the same.` : ".")
      : el("p", {}, "Both did and said the same."),
    el("table", {}, el("thead", {}, el("tr", {}, ["", "A", "B", "change"].map((one) => el("th", { scope: "col" }, one)))),
      el("tbody", {}, names.map(([name, write, key]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, write(a[key])), el("td", {}, write(b[key])),
        el("td", {}, a[key] === null || b[key] === null || a[key] === b[key] ? "" : (b[key] > a[key] ? "+" : "−") + write(Math.abs(b[key] - a[key]))))))));
}

function panelSection() {
  turnBox = el("div", { class: "tab-body" }, el("p", { class: "dim" }, "Choose a turn in a lane or a bar, or press j."));
  findingsBox = el("div", { class: "tab-body" }, findingsPanel());
  searchBox = el("div", { class: "tab-body" }, searchPanel());
  const body = el("div", { class: "panel-body" }, turnBox, findingsBox, searchBox);
  tabs = { findings: [findingsBox, `Findings ${number(every.length)}`], turn: [turnBox, "Turn"], search: [searchBox, "Search"] };
  const row = el("div", { class: "tabs", role: "tablist" }, Object.entries(tabs).map(([name, tab]) => {
    tab[0].setAttribute("role", "tabpanel");
    tab[0].setAttribute("aria-label", tab[1]);
    tab[2] = button(tab[1], () => openTab(name), { role: "tab" });
    return tab[2];
  }));
  return el("aside", { class: "panel", "aria-label": "Details" }, row, body);
}

function openTab(name) {
  for (const [key, [box, , tab]] of Object.entries(tabs)) {
    box.hidden = key !== name;
    tab.setAttribute("aria-selected", String(key === name));
  }
  const card = name === "findings" && state.finding && findingsBox.firstChild.show(state.finding);
  if (card) { bringIntoView(card); card.querySelector("button").focus({ preventScroll: true }); }
}
function openSearch() { openTab("search"); searchBox.firstChild.focusInput(); }

const KEYS = [["j · k", "next, previous turn (→ ← on a chart)"], ["J · K", "next, previous agent"], ["n · p", "next, previous finding"], ["/", "search"], ["t", "light or dark"], ["+ − 0", "zoom in, out, fit (on a chart)"], ["?", "these keys"], ["Esc", "back to the findings"]];
const help = el("dialog", { class: "help", "aria-label": "Keys" }, el("h2", {}, "Keys"),
  el("dl", {}, KEYS.map(([key, what]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)))), button("close", toggleHelp));
function toggleHelp() { if (help.open) help.close(); else help.showModal(); }

function step(by) {
  const agent = state.agent ?? runs[0].agents.find((one) => one.turns.length);
  if (!agent) return;
  const at = state.turn ? agent.turns.indexOf(state.turn) + by : by > 0 ? 0 : agent.turns.length - 1;
  if (agent.turns[at]) select(agent, agent.turns[at]); else if (agent.turns.length) stepAgent(by);
}
function stepAgent(by) {
  const agents = runs.flatMap((run) => run.agents).filter((one) => one.turns.length);
  const next = agents[agents.indexOf(state.agent) + by];
  if (next) select(next, by > 0 ? next.turns[0] : next.turns[next.turns.length - 1]);
}
function stepFinding(by) {
  if (!shownFindings.length) return;
  const at = shownFindings.indexOf(state.finding);
  openFinding(shownFindings[(at < 0 ? (by > 0 ? 0 : shownFindings.length - 1) : at + by + shownFindings.length) % shownFindings.length]);
}

const ACTIONS = { j: () => step(1), k: () => step(-1), J: () => stepAgent(1), K: () => stepAgent(-1), n: () => stepFinding(1), p: () => stepFinding(-1),
  "/": openSearch, "?": toggleHelp, t: () => document.querySelector(".tools button:last-child").click() };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    hideTip();
    if (!help.open) { document.activeElement?.blur(); openTab("findings"); }
    return;
  }
  if (event.target.closest?.("input, select, textarea")) return;
  const act = ACTIONS[event.key];
  if (act && (!help.open || event.key === "?")) { event.preventDefault(); act(); }
});

function repaint() { readPalette(); lanesChart.redraw(); strataCharts.forEach((one) => one.redraw()); }
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
addEventListener("beforeprint", () => findingsBox.firstChild.all());

readPalette();
announcer = el("div", { class: "unseen", "aria-live": "polite" });
document.getElementById("app").replaceChildren(head(),
  el("div", { class: "columns" }, el("main", {}, differenceSection(), planSection(), lanesSection(), windowsSection()), panelSection()),
  help, tipBox, announcer);
openTab("findings");
const firstAgent = runs[0].agents.find((one) => one.turns.length) ?? runs[0].agents[0];
if (firstAgent) { state.agent = firstAgent; showWindows(firstAgent); }
performance.mark("drawn");
