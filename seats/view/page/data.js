// What Python packed: arrays are base64 of little-endian numbers, "half" ones the upper 16 bits of float32.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const half = (text) =>
  new Float32Array(Uint32Array.from(new Uint16Array(bytes(text).buffer), (bits) => bits << 16).buffer);

const windowStarts = new Float32Array(bytes(DATA.windowStarts).buffer);
const windowOf = {};
for (const kind in DATA.windows) windowOf[kind] = new Uint32Array(bytes(DATA.windows[kind]).buffer);

const methods = DATA.methods.map((method) => {
  const tokens = {};
  for (const kind in method.tokens) {
    const packed = method.tokens[kind];
    tokens[kind] = {
      left: bytes(packed.left),
      saliency: packed.saliency && half(packed.saliency),
      relevance: packed.relevance.map(half),
    };
  }
  return { ...method, tokens };
});

// What the reader has chosen. layer: 0 is the whole clip, n what enters decoder layer n.
const view = { layer: DATA.layers, by: "stage", zoom: 1, second: false, focus: null, hover: null };

// How many of a method's moments lie before the chosen layer.
const happened = (method) => method.moments.filter((moment) => moment.afterLayer < view.layer).length;

// The scored layer to show: the last one the slider has passed, or the first.
function scoredRow(method) {
  let row = 0;
  method.scored.forEach((layer, i) => { if (layer < view.layer) row = i; });
  return method.scored.length ? row : -1;
}

// Tokens there at the chosen layer, and in the whole clip.
function counts(method, kind) {
  const { left } = method.tokens[kind], now = happened(method);
  return { alive: left.filter((moment) => moment >= now).length, all: left.length };
}

// Ranks of the numbers in an array, 0 for the highest; NaN stays NaN. Kept, as sorting takes time.
const ranked = new Map();
function ranks(values) {
  if (!ranked.has(values)) {
    const order = Array.from(values.keys()).filter((i) => !Number.isNaN(values[i]));
    order.sort((a, b) => values[b] - values[a]);
    const found = new Float32Array(values.length).fill(NaN);
    order.forEach((index, rank) => { found[index] = rank; });
    ranked.set(values, { rank: found, count: order.length });
  }
  return ranked.get(values);
}

// A time of the file, of seconds from where the page's clip begins in it; digits: decimals from a minute on.
const clock = (since, digits = 0) => {
  const seconds = DATA.start + since;
  if (seconds < 60) return seconds.toFixed(Math.max(digits, seconds < 10 ? 2 : 1)) + " s";
  const cut = Math.floor(seconds * 10 ** digits + 1e-3) / 10 ** digits;
  const rest = (cut % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const minutes = Math.floor(cut / 60), hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
};
const short = (value) => (value >= 0.01 ? value.toFixed(2) : value === 0 ? "0" : value.toExponential(1));

// Everything known of a token, as a title and rows of [what, value].
function describe({ kind, method: number, index }) {
  const method = methods[number], tokens = method.tokens[kind];
  const rows = [];
  const first = kind === "video" ? Math.floor(index / patches()) * DATA.secondsPerGrid : index * soundStep();
  const last = first + (kind === "video" ? DATA.secondsPerGrid : soundStep());
  const window = windowOf[kind][index];
  rows.push(["window", `${window + 1} of ${windowStarts.length - 1}`]);
  rows.push(["time", `${clock(first, 2)} to ${clock(last, 2)}`]);
  if (kind === "video") {
    const place = index % patches(), width = DATA.grid[2];
    rows.push(["patch", `row ${Math.floor(place / width) + 1}, column ${(place % width) + 1}`]);
  }
  if (tokens.saliency) {
    const { rank, count } = ranks(tokens.saliency);
    rows.push(["saliency", `${short(tokens.saliency[index])}, rank ${rank[index] + 1} of ${count}`]);
  }
  method.scored.forEach((layer, i) => {
    const value = tokens.relevance[i][index];
    const { rank, count } = ranks(tokens.relevance[i]);
    const said = Number.isNaN(value) ? "had left before" : `${short(100 * value)} %, rank ${rank[index] + 1} of ${count}`;
    rows.push([`relevance, layer ${layer}`, said]);
  });
  const moment = method.moments[tokens.left[index]];
  rows.push(["left", moment ? moment.label : "never: it stays to the end"]);
  const name = kind === "video" ? "Video token" : "Audio token";
  return { title: methods.length > 1 ? `${name}, ${method.name}` : name, rows };
}

const patches = () => DATA.grid[1] * DATA.grid[2];
const soundStep = () => DATA.soundSeconds / windowOf.audio.length;
