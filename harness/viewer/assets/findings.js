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
    told.textContent = every.length ? `${count(fits.length, "finding")}` : "The doctor found nothing here.";
    shownFindings = fits;
    lazy = lazyList(list, fits, findingCard);
  }
  const panel = el("div", {}, every.length > 0 && el("div", { class: "filters" },
    filter("severity", "any severity", SEVERITIES.filter((one) => every.some((finding) => finding.severity === one))),
    filter("detector", "any detector", distinct((one) => one.detector)), filter("agent", "any agent", distinct((one) => one.agent))), told, list);
  panel.ensure = (finding) => lazy.ensure(shownFindings.indexOf(finding));
  panel.all = () => lazy.all();
  show();
  return panel;
}
let shownFindings = every;

function price(finding) {
  const { tokens, usd: dollars, seconds: time, turns, action } = finding.price;
  return [tokens !== null && `${number(tokens)} token-turns`, dollars !== null && usd(dollars), time !== null && seconds(time), turns !== null && count(turns, "turn"), action && `led to: ${action}`]
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

// Where a quote stands: an entry, a call or a turn.
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
  const cut = where.lastIndexOf("/turn-");
  const agent = run.byPath.get(where.slice(0, cut));
  return agent ? { agent, turn: agent.turns[Number(where.slice(cut + 6)) - 1] } : null;
}

function openFinding(finding, quote = 0) {
  const quotes = finding.evidence.map(([, at]) => text(at));
  const wheres = [finding.evidence[quote]?.[0], ...finding.entries, ...finding.calls].filter(Boolean);
  const place = wheres.map((where) => placeOf(finding, where)).find((one) => one?.turn);
  const agent = place?.agent ?? finding.run.byPath.get(finding.agent);
  const turn = place?.turn ?? agent?.turns[(finding.shownTurns[0] ?? 1) - 1] ?? null;
  state.finding = finding;
  if (agent) select(agent, turn, { entry: place?.entry, call: place?.call, quotes });
  announce(`${finding.severity}: ${finding.what}`);
}
