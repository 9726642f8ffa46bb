// Search over names and all content, in slices that leave the page responsive.

const MOST = 500;

function searchPanel() {
  const input = el("input", { type: "search", placeholder: "Search names and content", "aria-label": "Search", autocomplete: "off", spellcheck: "false" });
  const list = el("div", { class: "hits" });
  const told = el("p", { class: "dim", role: "status" });
  let round = 0;
  let index = null;
  function places() {
    if (index) return index;
    index = new Map();
    const put = (at, place) => { if (at) { if (!index.has(at)) index.set(at, place); } };
    for (const run of runs) for (const agent of run.agents) {
      for (const entry of agent.entries) for (const [, , , at] of entry.pieces) put(at, { agent, entry });
      for (const call of agent.calls) { put(call.args, { agent, call }); put(call.result, { agent, call }); put(call.whole, { agent, call }); }
      put(agent.brief, { agent }); put(agent.report, { agent });
    }
    return index;
  }
  async function search() {
    const mine = ++round, needle = input.value.trim().toLowerCase();
    list.replaceChildren();
    told.textContent = "";
    if (needle.length < 2) return;
    const hits = [];
    let until = performance.now() + 12;
    const pause = async () => {
      if (performance.now() < until) return mine === round;
      await new Promise((go) => setTimeout(go));
      until = performance.now() + 12;
      return mine === round;
    };
    for (const run of runs) for (const agent of run.agents) {
      if (agent.path.toLowerCase().includes(needle)) hits.push({ agent, what: agent.path, text: "agent" });
      for (const call of agent.calls) if (hits.length < MOST && call.tool.toLowerCase().includes(needle)) hits.push({ agent, call, what: call.tool, text: oneLine(text(call.args), 80) });
      if (!(await pause())) return;
    }
    const where = places();
    for (const block of textBlocks()) {
      if (!(await pause())) return;
      const { texts, first } = parsed(block);
      for (let i = 0; i < texts.length && hits.length < MOST; i++) {
        const at = texts[i].toLowerCase().indexOf(needle);
        if (at >= 0) {
          const place = where.get(first + i);
          if (place) hits.push({ ...place, what: place.entry ? place.entry.origin.replace("assistant", "reply") : place.call ? place.call.tool : "brief or report", text: texts[i], at });
        }
        if (i % 64 === 0 && !(await pause())) return;
      }
    }
    told.textContent = hits.length ? `${count(hits.length, "place")}${hits.length >= MOST ? ", the first of many" : ""}` : `Nothing holds “${shown(needle)}”.`;
    lazyList(list, hits, (hit) => hitRow(hit, needle));
  }
  function hitRow(hit, needle) {
    const from = Math.max(0, (hit.at ?? 0) - 50);
    const line = el("span", { class: "peek" });
    const words = oneLine(hit.text.slice(from, from + 240), 150);
    fill(line, words, spans(words, [needle]));
    const number_ = hit.call?.turn ?? hit.entry?.first ?? 0;
    return button([el("b", {}, hit.what), el("span", { class: "dim" }, ` ${hit.agent.path}${number_ ? " · turn " + number_ : ""}`), line], () => {
      const turn = hit.agent.turns[(number_ || hit.entry?.turn || 1) - 1] ?? null;
      select(hit.agent, turn, { entry: hit.entry?.first ? hit.entry : undefined, call: hit.call, quotes: [needle] });
    }, { class: "hit" });
  }
  let timer = 0;
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 120); });
  const panel = el("div", {}, input, told, list);
  panel.focusInput = () => { input.focus(); input.select(); };
  return panel;
}
