// A canvas that keeps sharp, pans and zooms along x (d3-zoom), and is drawn at most once a frame.

const palette = {};
function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const names = [...KINDS.map((kind) => "k-" + kind), "k-residual", "ink", "dim", "faint", "line", "paper", "panel",
    "accent", ...SEVERITIES];
  for (const name of names) palette[name] = style.getPropertyValue("--" + name).trim();
  palette.hatch = hatch(palette.paper, 5);
  palette.grain = hatch(palette.ink, 4);
}
function hatch(color, size) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = size * 2;
  const draw = tile.getContext("2d");
  draw.strokeStyle = color;
  draw.lineWidth = 2;
  draw.beginPath();
  for (const at of [-size * 2, 0, size * 2]) { draw.moveTo(at, size * 2); draw.lineTo(at + size * 2, 0); }
  draw.stroke();
  return draw.createPattern(tile, "repeat");
}

function chart({ label, height, draw, domain, hit, tip, pick, maxZoom = 4000 }) {
  const canvas = el("canvas", { tabindex: "0", role: "img", "aria-label": label });
  const holder = el("div", { class: "canvas" }, canvas);
  const context = canvas.getContext("2d");
  const self = { canvas, holder, width: 0, height, transform: d3.zoomIdentity, hover: null };
  let waiting = false;
  self.x = (value) => {
    const [low, high] = domain();
    return self.transform.applyX(((value - low) / (high - low || 1)) * self.width);
  };
  self.value = (x) => {
    const [low, high] = domain();
    return low + (self.transform.invertX(x) / (self.width || 1)) * (high - low || 1);
  };
  self.redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; self.paint(); });
  };
  self.paint = () => {
    if (!self.width) return;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(self.width * ratio), Math.round(self.height * ratio)];
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    canvas.style.height = self.height + "px";
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, self.width, self.height);
    draw(context, self);
  };
  const zoom = d3.zoom().scaleExtent([1, maxZoom])
    .filter((event) => event.type === "wheel" ? event.ctrlKey || event.metaKey : !event.button)
    .on("zoom", (event) => { self.transform = event.transform; hideTip(); self.redraw(); });
  const selection = d3.select(canvas).call(zoom).on("dblclick.zoom", null);
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey || Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault();
    selection.call(zoom.translateBy, -event.deltaX / self.transform.k, 0);
  }, { passive: false });
  self.zoomBy = (factor) => selection.call(zoom.scaleBy, factor);
  self.fit = () => selection.call(zoom.transform, d3.zoomIdentity);
  self.show = (low, high) => {
    const [from, to] = domain();
    const k = Math.max(1, Math.min(maxZoom, (to - from) / (high - low || 1)));
    const at = ((low - from) / (to - from || 1)) * self.width;
    selection.call(zoom.transform, d3.zoomIdentity.scale(k).translate(-at, 0));
  };
  new ResizeObserver(() => {
    const width = holder.clientWidth;
    if (width === self.width) return;
    self.width = width;
    zoom.extent([[0, 0], [width, self.height]]).translateExtent([[0, 0], [width, 1]]);
    self.paint();
  }).observe(holder);
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return hit(event.clientX - box.left, event.clientY - box.top);
  };
  canvas.addEventListener("pointermove", (event) => {
    const found = at(event);
    canvas.style.cursor = found ? "pointer" : "grab";
    if (found) showTip(event.clientX, event.clientY, tip(found)); else hideTip();
  });
  canvas.addEventListener("keydown", (event) => {
    const keys = { "+": () => self.zoomBy(1.6), "-": () => self.zoomBy(1 / 1.6), 0: self.fit,
      ArrowLeft: () => step(-1), ArrowRight: () => step(1) };
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  canvas.addEventListener("pointerleave", hideTip);
  canvas.addEventListener("click", (event) => { const found = at(event); if (found) pick(found); });
  return self;
}

const tipBox = el("div", { class: "tip", "aria-hidden": "true", hidden: true });
function showTip(x, y, lines) {
  tipBox.replaceChildren(...lines.map((line, i) => el("div", { class: i ? "" : "tip-head" }, line)));
  tipBox.hidden = false;
  const { width, height } = tipBox.getBoundingClientRect();
  tipBox.style.left = Math.max(4, Math.min(x + 14, innerWidth - width - 8)) + "px";
  tipBox.style.top = (y + 18 + height > innerHeight ? y - height - 10 : y + 18) + "px";
}
function hideTip() { tipBox.hidden = true; }

// Buttons beside a chart.
const zoomButtons = (of) => el("span", { class: "zoom", role: "group", "aria-label": "Zoom" },
  button("−", () => of().zoomBy(1 / 1.6), { "aria-label": "Zoom out" }),
  button("+", () => of().zoomBy(1.6), { "aria-label": "Zoom in" }),
  button("fit", () => of().fit()));
