// The findings, filtered; each leads to the entry or call that proves it.

const every = runs.flatMap((run) => run.findings);

function findingsPanel() {
  const chosen = { severity: "", detector: "", agent: "" };
  const list = el("div", { class: "findings" });
  const told = el("p", { class: "dim", role: "status" });
  const filter = (name, label, options) => {
    const made = el("select", { "aria-label": label, on: { change: () => { chosen[name] = made.value; show(); } } },
      el("option", { value: "" }, label), options.map((one) => el("option", { value: one }, one)));
    return made;
  };
  const distinct = (read) => [...new Set(every.map(read))].sort();
  let lazy;
  function show() {
    const fits = every.filter((one) => (!chosen.severity || one.severity === chosen.severity) &&
      (!chosen.detector || one.detector === chosen.detector) && (!chosen.agent || one.agent === chosen.agent));
    list.replaceChildren();
    told.textContent = every.length ? count(fits.length, "finding") : "Nothing was found.";
    shownFindings = fits;
    lazy = lazyList(list, fits, findingCard);
  }
  const panel = el("div", {}, every.length > 0 && el("div", { class: "filters" },
    filter("severity", "any severity", SEVERITIES.filter((one) => every.some((finding) => finding.severity === one))),
    filter("detector", "any detector", distinct((one) => one.detector)), filter("agent", "any agent", distinct((one) => one.agent))), told, list,
    runs.flatMap((run) => run.notes.map((note) => el("p", { class: "dim" }, values.diff && el("span", { class: "side" }, "AB"[run.side]), note))));
  panel.show = (finding) => {
    const index = shownFindings.indexOf(finding);
    if (index < 0) return null;
    lazy.ensure(index);
    return list.children[index];
  };
  panel.all = () => lazy.all();
  show();
  return panel;
}
let shownFindings = every;

function price(finding) {
  const { tokens, usd: dollars, seconds: time, turns, action } = finding.price;
  return [tokens !== null && `${number(tokens)} token-turns`, dollars !== null && usd(dollars), time !== null && seconds(time), turns !== null && count(turns, "turn") + " spent", action && `led to: ${oneLine(action, 70)}`]
    .filter(Boolean).join(" · ");
}

function findingCard(finding) {
  const patch = Object.keys(finding.patch).length ? JSON.stringify(finding.patch, null, 2) : "";
  const copy = button("copy", async () => {
    try { await navigator.clipboard.writeText(patch); copy.textContent = "copied"; } catch { getSelection().selectAllChildren(patchBox); copy.textContent = "selected"; }
  }, { class: "link" });
  const patchBox = patch ? prose(patch) : null;
  return el("article", { class: "finding " + finding.severity, "data-finding": `${finding.run.side}:${finding.index}` },
    el("header", {}, button([el("span", { class: "dot " + finding.severity }), el("b", {}, finding.detector)], () => openFinding(finding), { class: "title" }),
      el("span", { class: "dim" }, `${finding.severity} · ${Math.round(finding.confidence * 100)}% sure`)),
    el("p", {}, values.diff && el("span", { class: "side" }, "AB"[finding.run.side]), finding.what),
    el("p", { class: "dim" }, [finding.agent, finding.shownTurns.length ? `turn ${finding.shownTurns.slice(0, 8).join(", ")}` : "", price(finding)].filter(Boolean).join(" · ")),
    finding.evidence.map(([where, quote], i) => el("blockquote", {}, button(oneLine(where, 50), () => openFinding(finding, i), { class: "link" }), " ", el("q", {}, oneLine(text(quote), 260)))),
    finding.remedy && el("p", { class: "remedy" }, finding.remedy),
    patch && el("div", { class: "patch" }, copy, patchBox));
}

const findingTip = (finding) => [`${finding.severity}: ${finding.detector}`, oneLine(finding.what, 160), "click for its evidence"];

// What is wrong, above the turn in which it shows.
function findingBanner(finding) {
  const at = shownFindings.indexOf(finding);
  return el("div", { class: "banner " + finding.severity, role: "note" },
    el("header", {}, el("b", {}, el("span", { class: "dot " + finding.severity }), finding.detector),
      el("span", { class: "zoom" }, at >= 0 && el("span", { class: "dim" }, `${number(at + 1)} of ${number(shownFindings.length)}`),
        button("‹", () => stepFinding(-1), { "aria-label": "Previous finding" }), button("›", () => stepFinding(1), { "aria-label": "Next finding" }),
        button("all", () => openTab("findings"), { "aria-label": "All findings" }))),
    el("p", {}, finding.what),
    finding.evidence.length > 0 && el("p", { class: "chips" }, el("span", { class: "dim" }, "evidence"), [...new Map(finding.evidence.map(([where], i) => [where, i]).reverse())].reverse()
      .map(([where, i]) => button(oneLine(where, 50), () => openFinding(finding, i), { class: "link" }))),
    finding.remedy && el("p", { class: "remedy" }, finding.remedy));
}

// Where a quote stands: an entry, a call, an agent run (its brief), a tool definition or a turn.
function placeOf(finding, where) {
  const { run } = finding;
  const call = run.callByKey.get(where);
  if (call) return { agent: call.agent, turn: call.agent.turns[call.turn - 1], call };
  const entry = where.includes("#") ? entryById(run, where) : undefined;
  if (entry) {
    const agent = run.byPath.get(where.slice(0, where.lastIndexOf("#")));
    const numbers = finding.shownTurns.filter((one) => entry.first <= one && one <= entry.last);
    const turn = entry.first ? agent.turns[(numbers[0] ?? entry.first) - 1] : agent.turns[entry.turn - 1];
    return { agent, turn, entry: entry.first ? entry : undefined };
  }
  const named = run.byPath.get(where);
  if (named) return { agent: named, turn: named.turns[0], entry: named.entries.find((one) => one.first && ["brief", "task"].includes(one.origin)) };
  const owner = run.byPath.get(finding.agent);
  if (owner?.definitions.some(([tool]) => tool === where)) return { agent: owner, turn: owner.turns[(finding.shownTurns[0] ?? 1) - 1], tool: where };
  const cut = where.lastIndexOf("/turn-");
  const agent = run.byPath.get(where.slice(0, cut));
  return agent ? { agent, turn: agent.turns[Number(where.slice(cut + 6)) - 1] } : null;
}

function openFinding(finding, quote = 0) {
  const said = [...finding.what.matchAll(/'([^']{3,100})'/g)].map(([, value]) => value);
  const cited = finding.evidence.map(([, at]) => text(at));
  const quotes = [...new Set([...quote ? [cited[quote]] : said, ...cited, ...said])];
  const wheres = [finding.evidence[quote]?.[0], ...finding.entries, ...finding.calls].filter(Boolean);
  const place = wheres.map((where) => placeOf(finding, where)).find((one) => one?.turn);
  const agent = place?.agent ?? finding.run.byPath.get(finding.agent);
  const turn = place?.turn ?? agent?.turns[(finding.shownTurns[0] ?? 1) - 1] ?? null;
  state.finding = finding;
  if (agent) select(agent, turn, { entry: place?.entry, call: place?.call, tool: place?.tool, quotes, finding });
  announce(`${finding.severity}: ${finding.what}`);
}
