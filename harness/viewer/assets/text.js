// Words and numbers as the page shows them.

const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\udb40[\udc00-\udc7f]/g;
const shown = (value) => value.replace(/\r\n/g, "\n").replace(CONTROL, (one) =>
  "\\u" + one.codePointAt(0).toString(16).padStart(4, "0"));
const oneLine = (value, width) => {
  const flat = shown(value.slice(0, width * 4).replace(/\s+/g, " ").trim());
  return flat.length > width ? flat.slice(0, width - 1) + "…" : flat;
};

const number = (value) => value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en");
const short = (value) => {
  if (value === null || value === undefined) return "–";
  if (Math.abs(value) >= 1e6) return (value / 1e6).toFixed(value >= 1e7 ? 0 : 1) + "M";
  if (Math.abs(value) >= 1e4) return (value / 1e3).toFixed(0) + "k";
  if (Math.abs(value) >= 1e3) return (value / 1e3).toFixed(1) + "k";
  return String(Math.round(value));
};
const usd = (value) => value === null || value === undefined ? "–"
  : value === 0 ? "$0" : value < 0.01 ? "$" + value.toFixed(5) : "$" + value.toFixed(2);
const seconds = (value) => {
  if (value === null || value === undefined) return "–";
  if (value < 0.001) return (value * 1e6).toFixed(0) + " µs";
  if (value < 1) return (value * 1e3).toFixed(value < 0.01 ? 1 : 0) + " ms";
  if (value < 120) return value.toFixed(value < 10 ? 2 : 1) + " s";
  return Math.floor(value / 60) + " min " + Math.round(value % 60) + " s";
};
const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
const kindName = (kind) => kind.replace("_", " ");

const LONGEST = 12000;

// A text as text nodes, with the places of `quotes` marked; long texts are cut until asked for.
function prose(value, quotes = [], options = {}) {
  const box = el("pre", { class: "prose", dir: "auto", tabindex: "0", ...options });
  const whole = shown(value);
  const found = spans(whole, quotes.map(shown));
  const cut = whole.length > LONGEST && !found.some((span) => span[1] > LONGEST);
  fill(box, cut ? whole.slice(0, LONGEST) : whole, found);
  if (!whole) box.append(el("span", { class: "dim" }, "empty"));
  if (cut) box.append(button(`… show all ${number(whole.length)} characters`, () => {
    box.replaceChildren();
    fill(box, whole, found);
  }, { class: "link" }));
  return box;
}

function spans(whole, quotes) {
  const found = [];
  for (const quote of quotes) {
    const needle = quote.trim();
    if (!needle) continue;
    const at = whole.indexOf(needle);
    const loose = at < 0 ? whole.toLowerCase().indexOf(needle.toLowerCase()) : at;
    if (loose >= 0) found.push([loose, loose + needle.length]);
    else found.push(...spaced(whole, needle));
  }
  found.sort((a, b) => a[0] - b[0]);
  return found.filter((span, i) => !i || span[0] >= found[i - 1][1]);
}

// Where a quote stands if white space does not count, as in JSON that is shown indented; or all, if the quote goes on.
function spaced(whole, needle) {
  const bare = needle.replace(/\s+/g, "");
  if (bare.length < 8 || whole.length > 400000) return [];
  const places = [];
  let squeezed = "";
  for (const word of whole.matchAll(/\S+/g)) {
    for (let i = 0; i < word[0].length; i++) places.push(word.index + i);
    squeezed += word[0];
  }
  const at = squeezed.indexOf(bare);
  if (squeezed.length >= 8 && bare.includes(squeezed)) return [[places[0], places.at(-1) + 1]];
  return at < 0 ? [] : [[places[at], places[at + bare.length - 1] + 1]];
}

function fill(box, value, found) {
  let from = 0;
  for (const [start, end] of found) {
    if (start >= value.length) break;
    box.append(value.slice(from, start));
    const mark = document.createElement("mark");
    mark.append(value.slice(start, end));
    box.append(mark);
    from = end;
  }
  box.append(value.slice(from));
}

function pretty(json) {
  try { return JSON.stringify(JSON.parse(json), null, 2); } catch { return json; }
}
