// Wires the controls to the drawing.
let pending = false;
function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    drawStrip();
    drawCharts();
  });
}

function showState() {
  const name = view.layer ? `Entering layer ${view.layer} of ${DATA.layers}` : "The clip, before any selection";
  const parts = [Object.assign(document.createElement("b"), { textContent: name })];
  for (const method of methods) {
    const span = document.createElement("span");
    if (methods.length > 1) span.append(method.name + ": ");
    Object.keys(method.tokens).forEach((kind, i) => {
      const { alive, all } = counts(method, kind);
      const number = document.createElement("em");
      number.textContent = alive.toLocaleString("en");
      span.append(i ? " · " : "", number, ` of ${all.toLocaleString("en")} ${kind} tokens`);
    });
    parts.push(span);
  }
  $("state").replaceChildren(...parts.flatMap((part) => [part, " "])); // or "of 10" and "4 of 216" are copied as "of 104 of"
  $("layer").setAttribute("aria-valuetext", parts.map((part) => part.textContent).join(", "));
  for (const button of document.querySelectorAll("#legend button"))
    button.classList.toggle("later", Number(button.dataset.after) >= view.layer);
}

function setLayer(layer) {
  view.layer = Math.max(0, Math.min(DATA.layers, layer));
  $("layer").value = view.layer;
  showState();
  redraw();
}

// Marks under the slider where tokens leave, and buttons that go there.
function makeLegend() {
  const marks = new Map();
  const numerals = { before: "I", inside: "II", late: "III" };
  for (const method of methods) {
    const row = document.createElement("div");
    if (methods.length > 1) row.append(Object.assign(document.createElement("b"), { textContent: method.name }));
    for (const moment of method.moments) {
      marks.set(moment.afterLayer + 1, numerals[moment.stage]);
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.dataset.after = moment.afterLayer;
      const small = document.createElement("small");
      const gone = Object.keys(method.tokens).map((kind) => `${moment[kind].toLocaleString("en")} ${kind}`);
      small.textContent = `${gone.join(", ")} left`;
      const text = document.createElement("span");
      text.append(moment.label, small);
      button.append(swatch(moment), text);
      button.addEventListener("click", () => setLayer(moment.afterLayer + 1));
      row.append(button);
    }
    if (!method.moments.length) row.append("every token stays through all layers");
    $("legend").append(row);
  }
  for (const [layer, numeral] of marks) {
    const mark = document.createElement("span");
    mark.style.left = `${(100 * layer) / DATA.layers}%`;
    mark.textContent = numeral;
    $("ticks").append(mark);
  }
}

let playing = 0;
function play() {
  if (!playing && view.layer === DATA.layers) setLayer(0);
  clearInterval(playing);
  playing = playing ? 0 : setInterval(() => {
    if (view.layer < DATA.layers) setLayer(view.layer + 1);
    if (view.layer === DATA.layers && playing) play();
  }, Math.max(160, 6000 / DATA.layers));
  $("play").textContent = playing ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play through the layers");
}

function showTip({ title, rows }, x, y) {
  const list = document.createElement("dl");
  for (const [what, value] of rows)
    list.append(Object.assign(document.createElement("dt"), { textContent: what }), Object.assign(document.createElement("dd"), { textContent: value }));
  const tip = $("tip");
  tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: title }), list);
  tip.hidden = false;
  tip.style.left = Math.max(8, Math.min(x + 16, innerWidth - tip.offsetWidth - 8)) + "px";
  tip.style.top = (y + 20 + tip.offsetHeight > innerHeight ? Math.max(8, y - tip.offsetHeight - 16) : y + 20) + "px";
}

const hideTip = () => { $("tip").hidden = true; };

function showToken(token) {
  const { x, y, width, height } = place(token), box = $("strip").getBoundingClientRect();
  showTip(describe(token), box.left + x + width - $("scroller").scrollLeft, box.top + y + height);
}

// The token one step away from another; up and down leave a track for the next one.
function neighbour({ kind, method, index }, key) {
  const count = windowOf[kind].length;
  const step = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0;
  if (key === "Home" || key === "End") return { kind, method, index: key === "Home" ? 0 : count - 1 };
  if (key.startsWith("Page")) {
    const begins = (window) => windowOf[kind].indexOf(window);
    const here = windowOf[kind][index], there = begins(here + (key === "PageDown" ? 1 : -1));
    return { kind, method, index: there < 0 ? index : Math.min(there + index - begins(here), count - 1) };
  }
  if (kind === "audio" && step) return { kind, method, index: Math.max(0, Math.min(count - 1, index + step)) };
  if (kind === "video") {
    const [grids, rows, columns] = DATA.grid;
    const row = Math.floor((index % patches()) / columns), along = Math.floor(index / patches()) * columns + (index % columns) + step;
    const to = row + (key === "ArrowDown" ? 1 : key === "ArrowUp" ? -1 : 0);
    if (along < 0 || along >= grids * columns) return { kind, method, index };
    if (to >= 0 && to < rows)
      return { kind, method, index: (Math.floor(along / columns) * rows + to) * columns + (along % columns) };
  }
  const tracks = strip.tracks, here = tracks.findIndex((track) => track.kind === kind && track.number === method);
  const track = tracks[here + (key === "ArrowDown" ? 1 : -1)];
  if (!track) return { kind, method, index };
  const middle = place({ kind, method, index });
  const inside = key === "ArrowDown" ? PERFORATION + 1 : track.height - PERFORATION - 1;
  const x = Math.min(middle.x + middle.width / 2, PAD + (track.kind === "audio" ? windowOf.audio.length * soundStep() * strip.rate : DATA.grid[0] * strip.cell) - 3);
  return tokenAt(x - $("scroller").scrollLeft, track.y + inside) || { kind, method, index };
}

function focusToken(token) {
  view.focus = token;
  const { x, width } = place(token), scroller = $("scroller");
  if (x < scroller.scrollLeft + 24) scroller.scrollLeft = x - scroller.clientWidth / 3;
  else if (x + width > scroller.scrollLeft + scroller.clientWidth - 24) scroller.scrollLeft = x - (2 * scroller.clientWidth) / 3;
  showToken(token);
  redraw();
}

function scrollToTime(time) {
  $("scroller").scrollLeft = time * strip.rate - $("scroller").clientWidth / 2;
}

function zoom(factor) {
  const scroller = $("scroller"), middle = (scroller.scrollLeft + scroller.clientWidth / 2) / strip.rate;
  view.zoom = Math.max(0.25, Math.min(8, view.zoom * factor));
  layOut();
  scrollToTime(middle);
  redraw();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "+" || event.key === "=") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (/^(Arrow|Page|Home$|End$)/.test(event.key)) {
    const { kind, number } = strip.tracks[0];
    const centre = tokenAt($("scroller").clientWidth / 2, strip.tracks[0].y + strip.tracks[0].height / 2);
    focusToken(view.focus ? neighbour(view.focus, event.key) : centre || { kind, method: number, index: 0 });
  } else return;
  event.preventDefault();
}

// Draw anew where only the screen's sharpness changes, as on another screen; a media query is about one value of it.
function watchSharpness() {
  matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", () => { redraw(); watchSharpness(); }, { once: true });
}

function start() {
  readTheme();
  $("layer").max = DATA.layers;
  if (!DATA.grid || DATA.pictures.length === DATA.grid[0]) $("second").hidden = true;
  for (const button of document.querySelectorAll("[data-by]")) {
    const missing = (tokens) => button.dataset.by === "saliency" ? !tokens.saliency : !tokens.relevance.length;
    button.disabled = button.dataset.by !== "stage" && methods.every((method) => Object.values(method.tokens).every(missing));
    button.addEventListener("click", () => {
      view.by = button.dataset.by;
      for (const other of document.querySelectorAll("[data-by]")) other.setAttribute("aria-pressed", String(other === button));
      redraw();
    });
  }
  makeLegend();
  makeCharts();
  layOut();
  setLayer(Math.min(DATA.layers, ...methods.flatMap((m) => m.moments.filter((moment) => moment.stage === "late").map((moment) => moment.afterLayer))));
  if (DATA.sound) $("keys").append(" Under the spectrogram: how many layers each audio token has lived through.");
  $("layer").addEventListener("input", () => setLayer(Number($("layer").value)));
  $("play").addEventListener("click", play);
  $("second").addEventListener("click", () => {
    view.second = !view.second;
    $("second").setAttribute("aria-pressed", String(view.second));
    redraw();
  });
  $("in").addEventListener("click", () => zoom(1.5));
  $("out").addEventListener("click", () => zoom(1 / 1.5));
  const scroller = $("scroller"), canvas = $("strip");
  scroller.addEventListener("scroll", redraw, { passive: true });
  scroller.addEventListener("keydown", onKey);
  scroller.addEventListener("blur", () => { view.focus = null; hideTip(); redraw(); });
  const point = (event) => {
    view.hover = tokenAt(event.offsetX, event.offsetY);
    if (view.hover) showTip(describe(view.hover), event.clientX, event.clientY);
    else hideTip();
    redraw();
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("click", (event) => {
    point(event);
    if (view.hover) view.focus = view.hover;
  });
  canvas.addEventListener("pointerleave", () => { view.hover = null; if (!view.focus) hideTip(); redraw(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") { view.focus = view.hover = null; hideTip(); redraw(); } });
  new ResizeObserver(() => { layOut(); redraw(); }).observe(scroller);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); redraw(); });
  watchSharpness();
}

start();
