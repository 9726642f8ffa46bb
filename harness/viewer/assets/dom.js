// Making elements: content only ever becomes text nodes.

function el(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") made.className = value;
    else if (key === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (key === "style") for (const [name, one] of Object.entries(value)) made.style.setProperty(name, one);
    else made.setAttribute(key, value === true ? "" : value);
  }
  add(made, children);
  return made;
}

function add(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : document.createTextNode(shown(String(child))));
  }
  return parent;
}

const button = (label, act, options = {}) => el("button", { type: "button", on: { click: act }, ...options }, label);

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (value !== undefined) made.setAttribute(key, value);
  }
  return add(made, children);
}

// A list whose rows are built as they come into view.
function lazyList(container, items, build, step = 60) {
  let built = 0;
  const end = el("div", { class: "list-end", "aria-hidden": "true" });
  container.append(end);
  const more = (upTo) => {
    const rows = document.createDocumentFragment();
    for (; built < Math.min(items.length, upTo); built++) rows.append(build(items[built], built));
    end.before(rows);
    if (built >= items.length) { observer.disconnect(); end.remove(); }
  };
  const observer = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) more(built + step);
  }, { rootMargin: "400px" });
  observer.observe(end);
  more(step);
  return { ensure: (index) => more(index + 1), all: () => more(items.length) };
}

let announcer;
function announce(message) {
  announcer.textContent = shown(message);
}
