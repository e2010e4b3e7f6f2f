// Colours of the page's theme, and how tokens that left are painted.
let theme = {};
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["card", "ink", "soft", "line", "video", "audio", "film", "hole"])
    theme[name] = style.getPropertyValue("--" + name).trim();
}

// A canvas of so many CSS pixels, sharp on this screen, and its context.
function prepare(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  return context;
}

const SIDE = 6;
const MARKS = {
  solid: () => false,
  frame: () => false,
  rise: (x, y) => (x + y) % SIDE < 2,
  fall: (x, y) => (x - y + SIDE) % SIDE < 2,
  dots: (x, y) => x < 2 && y < 2,
  cross: (x, y) => x < 1 || y < 1,
};

// Veil and pattern of a moment as something to fill with.
const fills = new Map();
function fillFor(context, moment) {
  const key = moment.colour + moment.pattern + moment.veil;
  if (!fills.has(key)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = SIDE;
    const ink = tile.getContext("2d");
    ink.globalAlpha = moment.veil;
    ink.fillStyle = moment.colour;
    ink.fillRect(0, 0, SIDE, SIDE);
    ink.globalAlpha = 0.32;
    ink.fillStyle = "#fff";
    for (let y = 0; y < SIDE; y++)
      for (let x = 0; x < SIDE; x++) if (MARKS[moment.pattern](x, y)) ink.fillRect(x, y, 1, 1);
    fills.set(key, tile);
  }
  return context.createPattern(fills.get(key), "repeat");
}

// One rectangle of tokens that left at the same moment.
function veil(context, moment, fill, x, y, width, height) {
  if (moment.pattern === "frame") {
    context.strokeStyle = moment.colour;
    context.lineWidth = Math.min(1.5, width / 3);
    const inset = context.lineWidth / 2 + 0.25;
    context.strokeRect(x + inset, y + inset, width - 2 * inset, height - 2 * inset);
  } else {
    context.fillStyle = fill;
    context.fillRect(x, y, width, height);
  }
}

// How a token is shaded now: the number of its moment, -1 for none, or in [0, 1] a heat (with `heat` set).
function shading(method, kind) {
  const tokens = method.tokens[kind], now = happened(method);
  const row = scoredRow(method);
  const values = view.by === "saliency" ? tokens.saliency : view.by === "relevance" ? tokens.relevance[row] : null;
  if (!values) return { heat: null, moment: (i) => (tokens.left[i] < now ? tokens.left[i] : -1) };
  const { rank, count } = ranks(values);
  return {
    heat: (i) => (Number.isNaN(rank[i]) ? null : 1 - rank[i] / Math.max(count - 1, 1)),
    moment: (i) => (Number.isNaN(rank[i]) ? tokens.left[i] : -1),
  };
}

// Shade a row of tokens first..last-1 of equal width; neighbours that left together are one rectangle. Edges lie on
// whole pixels, or seams would show.
function shadeRow(context, method, shade, fillOf, first, last, x, y, width, height) {
  const edge = (i) => (width < 2 ? x + (i - first) * width : Math.round(x + (i - first) * width));
  const top = Math.round(y), tall = Math.round(y + height) - top;
  let start = first;
  for (let i = first; i < last; i++) {
    if (shade.heat) {
      const heat = shade.heat(i);
      if (heat !== null) {
        context.fillStyle = `rgb(8 10 16 / ${(0.9 * (1 - heat) ** 0.8).toFixed(3)})`;
        context.fillRect(edge(i), top, edge(i + 1) - edge(i), tall);
      }
    }
    const moment = shade.moment(i);
    const joins = i + 1 < last && shade.moment(i + 1) === moment && moment >= 0 && method.moments[moment].pattern !== "frame";
    if (joins) continue;
    if (moment >= 0) veil(context, method.moments[moment], fillOf[moment], edge(start), top, edge(i + 1) - edge(start), tall);
    start = i + 1;
  }
}

// The small picture of a moment in the legend; null for tokens that are still there.
function swatch(moment) {
  const canvas = document.createElement("canvas");
  const context = prepare(canvas, 26, 22);
  const sky = context.createLinearGradient(0, 0, 26, 22);
  sky.addColorStop(0, "#8fc1e3");
  sky.addColorStop(0.55, "#f3e3c3");
  sky.addColorStop(1, "#7a9a58");
  context.fillStyle = sky;
  context.fillRect(0, 0, 26, 22);
  if (moment && moment.pattern === "frame") {
    veil(context, moment, null, 0, 0, 13, 22);
    veil(context, moment, null, 13, 0, 13, 22);
  } else if (moment) veil(context, moment, fillFor(context, moment), 0, 0, 26, 22);
  return canvas;
}
