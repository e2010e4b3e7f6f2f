// The film strip and the spectrogram: one canvas as wide as the screen, drawn anew for what is scrolled into view.
const PAD = 16, AXIS = 26, LABEL = 20, GAP = 12, PERFORATION = 10, SOUND = 72, LIFE = 34;
const strip = { cell: 0, rate: 0, height: 0, tracks: [], total: 0 };
const pictures = DATA.pictures.map(() => null);
let soundPicture = null;

// A picture, decoded when it is first wanted.
function pictureOf(number) {
  if (!pictures[number]) {
    pictures[number] = new Image();
    pictures[number].onload = redraw;
    pictures[number].src = DATA.pictures[number];
  }
  return pictures[number];
}

// Sizes and places of everything; strip.rate is in pixels per second.
function layOut() {
  const visible = $("scroller").clientWidth;
  const two = methods.length > 1, [grids] = DATA.grid || [0];
  let cell = 0;
  if (grids) {
    const tallest = (two ? 170 : 230) * view.zoom;
    const fitting = ((visible - 2 * PAD) * DATA.secondsPerGrid) / DATA.seconds; // sound may be longer than the pictures
    cell = (fitting < 110 ? Math.min(Math.max(visible / 6, 128), 184) : Math.min(fitting, 300)) * view.zoom;
    cell = Math.min(cell, tallest * DATA.aspect);
    strip.rate = cell / DATA.secondsPerGrid;
    if (DATA.sound) strip.rate = Math.min(strip.rate, (16 / soundStep()) * view.zoom);
    strip.cell = grids > 1 ? strip.rate * DATA.secondsPerGrid : cell;
  } else strip.rate = Math.max(60, (visible - 2 * PAD) / DATA.seconds) * view.zoom;
  const frame = strip.cell / DATA.aspect;
  strip.tracks = [];
  let y = AXIS;
  const add = (kind, number, height) => {
    if (two) y += LABEL;
    strip.tracks.push({ kind, number, y, height });
    y += height + (two ? 6 : GAP);
  };
  if (DATA.grid) methods.forEach((_, i) => add("video", i, frame + 2 * PERFORATION));
  if (windowOf.audio) methods.forEach((_, i) => add("audio", i, SOUND + LIFE));
  strip.height = y + 2;
  strip.total = 2 * PAD + Math.max(DATA.seconds * strip.rate, grids * strip.cell);
  $("width").style.width = Math.max(strip.total, visible) + "px";
  $("width").style.height = strip.height + "px";
}

function drawStrip() {
  const width = $("scroller").clientWidth, offset = $("scroller").scrollLeft;
  const context = prepare($("strip"), width, strip.height);
  const shift = PAD - offset;
  drawAxis(context, width, shift);
  for (const track of strip.tracks) {
    if (methods.length > 1) {
      context.fillStyle = theme.ink;
      context.font = "600 12px system-ui, sans-serif";
      context.fillText(methods[track.number].name, PAD, track.y - 6);
    }
    if (track.kind === "video") drawFilm(context, track, width, shift);
    else drawSound(context, track, width, shift);
  }
  for (const token of [view.hover, view.focus]) if (token) ring(context, place(token), offset);
}

function drawAxis(context, width, shift) {
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = theme.soft;
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  const windows = windowStarts.length - 1;
  let free = -Infinity;
  for (let i = 0; i < windows; i++) {
    const x = Math.round(shift + windowStarts[i] * strip.rate) + 0.5;
    if (x < -200 || x > width) continue;
    if (x - free < 8) continue;
    context.beginPath();
    context.moveTo(x, 4);
    context.lineTo(x, strip.height);
    context.stroke();
    const room = (windowStarts[i + 1] - windowStarts[i]) * strip.rate;
    const text = room > 130 ? `window ${i + 1} · ${clock(windowStarts[i]).replace(".00", "")}` : room > 26 ? String(i + 1) : "";
    context.fillText(text, x + 5, 16);
    free = x + context.measureText(text).width;
  }
}

// Which of a film's grids are in view.
function gridsIn(width, shift) {
  const first = Math.max(0, Math.floor(-shift / strip.cell));
  return [first, Math.min(DATA.grid[0], Math.ceil((width - shift) / strip.cell))];
}

function drawFilm(context, track, width, shift) {
  const [grids, rows, columns] = DATA.grid, method = methods[track.number];
  const left = Math.max(0, shift), right = Math.min(width, shift + grids * strip.cell);
  context.fillStyle = theme.film;
  context.fillRect(left - 4, track.y, right - left + 8, track.height);
  context.fillStyle = theme.hole;
  const step = 14;
  for (let x = shift + step * Math.ceil((left - shift) / step); x + 6 < right; x += step)
    for (const y of [track.y + 3, track.y + track.height - 7]) context.fillRect(x + 3, y, 6, 4);
  const shade = shading(method, "video"), fillOf = method.moments.map((moment) => fillFor(context, moment));
  const top = track.y + PERFORATION, height = track.height - 2 * PERFORATION;
  const inner = strip.cell - 3, perGrid = DATA.pictures.length / grids;
  const [first, last] = gridsIn(width, shift);
  for (let grid = first; grid < last; grid++) {
    const x = shift + grid * strip.cell + 1.5;
    const picture = pictureOf(grid * perGrid + (view.second ? perGrid - 1 : 0));
    if (picture.complete && picture.naturalWidth) context.drawImage(picture, x, top, inner, height);
    for (let row = 0; row < rows; row++) {
      const start = (grid * rows + row) * columns;
      const y = top + (row * height) / rows;
      shadeRow(context, method, shade, fillOf, start, start + columns, x, y, inner / columns, height / rows);
    }
  }
}

function drawSound(context, track, width, shift) {
  const method = methods[track.number], step = soundStep() * strip.rate;
  const count = windowOf.audio.length, end = shift + count * step;
  if (!soundPicture) {
    soundPicture = new Image();
    soundPicture.onload = redraw;
    soundPicture.src = DATA.sound;
  }
  context.fillStyle = theme.film;
  context.fillRect(Math.max(0, shift), track.y, Math.min(width, end) - Math.max(0, shift), SOUND);
  const first = Math.max(0, Math.floor(-shift / step)), last = Math.min(count, Math.ceil((width - shift) / step));
  if (last <= first) return;
  if (soundPicture.complete && soundPicture.naturalWidth) {
    const scale = soundPicture.naturalWidth / count;
    const x = shift + first * step;
    context.drawImage(soundPicture, first * scale, 0, (last - first) * scale, soundPicture.naturalHeight,
      x, track.y, (last - first) * step, SOUND);
  }
  const shade = shading(method, "audio"), fillOf = method.moments.map((moment) => fillFor(context, moment));
  shadeRow(context, method, shade, fillOf, first, last, shift + first * step, track.y, step, SOUND);
  const tokens = method.tokens.audio, base = track.y + SOUND + LIFE;
  context.fillStyle = theme.audio;
  for (let i = first; i < last; i++) {
    const moment = method.moments[tokens.left[i]];
    const lived = moment ? moment.afterLayer : DATA.layers;
    const tall = Math.max((LIFE - 6) * Math.min(lived, view.layer) / DATA.layers, 1);
    context.globalAlpha = lived < view.layer ? 0.55 : 1;
    context.fillRect(shift + i * step, base - tall, step > 3 ? step - 1 : step, tall);
  }
  context.globalAlpha = 1;
}

// A token's rectangle in pixels from the strip's left edge.
function place({ kind, method, index }) {
  const track = strip.tracks.find((each) => each.kind === kind && each.number === method);
  if (kind === "audio") {
    const step = soundStep() * strip.rate;
    return { x: PAD + index * step, y: track.y, width: step, height: SOUND };
  }
  const [, rows, columns] = DATA.grid;
  const width = (strip.cell - 3) / columns, height = (track.height - 2 * PERFORATION) / rows;
  const inGrid = index % patches();
  return {
    x: PAD + Math.floor(index / patches()) * strip.cell + 1.5 + (inGrid % columns) * width,
    y: track.y + PERFORATION + Math.floor(inGrid / columns) * height,
    width,
    height,
  };
}

function ring(context, { x, y, width, height }, offset) {
  for (const [colour, grow] of [["#000", 2.5], ["#fff", 1]]) {
    context.strokeStyle = colour;
    context.lineWidth = 1.6;
    context.strokeRect(x - offset - grow, y - grow, width + 2 * grow, height + 2 * grow);
  }
}

// The token at a point of the canvas, or null.
function tokenAt(x, y) {
  const along = x + $("scroller").scrollLeft - PAD;
  for (const { kind, number, y: top, height } of strip.tracks) {
    if (along < 0 || y < top || y >= top + height) continue;
    if (kind === "audio") {
      const index = Math.floor(along / (soundStep() * strip.rate));
      return index < windowOf.audio.length ? { kind, method: number, index } : null;
    }
    const [grids, rows, columns] = DATA.grid;
    const grid = Math.floor(along / strip.cell);
    const row = Math.floor(((y - top - PERFORATION) / (height - 2 * PERFORATION)) * rows);
    const column = Math.floor(((along - grid * strip.cell - 1.5) / (strip.cell - 3)) * columns);
    if (grid >= grids || row < 0 || row >= rows || column < 0 || column >= columns) return null;
    return { kind, method: number, index: (grid * rows + row) * columns + column };
  }
  return null;
}
