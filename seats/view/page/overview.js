// The whole clip at a glance, per method: bars of the budget per window, lines of the relevance over time.
const BARS_UP = 84, BARS_DOWN = 56, CURVE = 118, LEFT = 40, RIGHT = 8, FOOT = 18;
const charts = [];

function makeCharts() {
  for (const [id, draw, tall] of [["budget", drawBudget, BARS_UP + BARS_DOWN + FOOT + 8], ["relevance", drawRelevance, CURVE + FOOT + 12]]) {
    methods.forEach((method, number) => {
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      const title = document.createElement("h3");
      $(id).append(title, canvas);
      charts.push({ canvas, title, draw, tall, number });
      canvas.addEventListener("click", (event) => scrollToTime(timeAt(canvas, event.offsetX)));
      canvas.addEventListener("pointermove", (event) => showWindow(canvas, number, event));
      canvas.addEventListener("pointerleave", hideTip);
    });
  }
}

const timeAt = (canvas, x) => ((x - LEFT) / (canvas.clientWidth - LEFT - RIGHT)) * DATA.seconds;

function drawCharts() {
  for (const { canvas, title, draw, tall, number } of charts) {
    const width = canvas.parentElement.clientWidth - 34;
    const context = prepare(canvas, width, tall);
    const x = (time) => LEFT + (time / DATA.seconds) * (width - LEFT - RIGHT);
    const said = draw(context, methods[number], x, width, tall);
    title.textContent = [methods.length > 1 ? methods[number].name : "", said].filter(Boolean).join(" · ");
    canvas.setAttribute("aria-label", `${methods[number].name}: ${said || "budget per window"}`);
    const from = $("scroller").scrollLeft / strip.rate, seen = $("scroller").clientWidth / strip.rate;
    if (seen < DATA.seconds) {
      context.strokeStyle = theme.ink;
      context.lineWidth = 1.5;
      context.strokeRect(x(from), 1, Math.min(x(from + seen), width - RIGHT) - x(from), tall - FOOT);
    }
    drawTimes(context, x, tall);
  }
}

function drawTimes(context, x, tall) {
  context.fillStyle = theme.soft;
  context.textAlign = "center";
  const step = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200].find((s) => x(s) - x(0) > 52) || 14400;
  for (let n = Math.ceil(DATA.start / step - 1e-6); n * step <= DATA.start + DATA.seconds; n++) {
    const time = n * step, at = x(time - DATA.start);
    if (at < x(DATA.seconds) - 18)
      context.fillText(time < 60 ? `${time} s` : clock(time - DATA.start, step < 1 ? 1 : 0), at, tall - 4);
  }
  context.textAlign = "start";
}

// Tokens per window: in the clip, and there at the chosen layer. Kept per method and moment.
const sums = new Map();
function perWindow(method, kind, now) {
  const key = `${methods.indexOf(method)} ${kind} ${now}`;
  if (!sums.has(key)) {
    const found = new Uint32Array(windowStarts.length - 1), { left } = method.tokens[kind];
    left.forEach((moment, i) => { if (moment >= now) found[windowOf[kind][i]]++; });
    sums.set(key, found);
  }
  return sums.get(key);
}

function drawBudget(context, method, x, width, tall) {
  const zero = windowOf.video ? (windowOf.audio ? BARS_UP : tall - FOOT - 4) : 4;
  const rooms = { video: zero - 6, audio: windowOf.video ? BARS_DOWN - 4 : tall - FOOT - 10 };
  for (const kind in method.tokens) {
    const all = perWindow(method, kind, 0), alive = perWindow(method, kind, happened(method));
    const top = all.reduce((a, b) => Math.max(a, b), 1), sign = kind === "video" ? -1 : 1;
    const y = (count) => zero + sign * rooms[kind] * Math.sqrt(count / top);
    context.fillStyle = theme.soft;
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    for (const share of [1, 0.25]) {
      const level = Math.round(top * share);
      context.fillText(level.toLocaleString("en"), 2, y(level) + 4);
      context.strokeRect(LEFT, y(level), width - LEFT - RIGHT, 0);
    }
    all.forEach((count, i) => {
      const from = x(windowStarts[i]), wide = Math.max(x(windowStarts[i + 1]) - from - (all.length > 60 ? 0.5 : 3), 1);
      const bar = (low, high) => [from, Math.min(y(low), y(high)), wide, Math.abs(y(high) - y(low))];
      method.moments.slice(0, happened(method)).forEach((moment, m) => {
        const low = perWindow(method, kind, m + 1)[i], high = perWindow(method, kind, m)[i];
        context.globalAlpha = moment.stage === "before" ? 0.16 : 0.85;
        context.fillStyle = moment.stage === "before" ? theme.soft : moment.pattern === "frame" ? moment.colour : fillFor(context, moment);
        context.fillRect(...bar(low, high));
      });
      context.strokeStyle = theme.soft;
      context.lineWidth = 1;
      context.globalAlpha = 0.5;
      if (wide > 3) context.strokeRect(...bar(0, count));
      context.globalAlpha = 1;
      context.fillStyle = theme[kind];
      context.fillRect(...bar(0, alive[i]));
      if (wide > 26 && alive[i]) {
        context.fillStyle = theme.ink;
        const text = String(alive[i]), outside = y(alive[i]) + (sign < 0 ? -4 : 12);
        const roomy = sign < 0 ? outside > 10 : outside < zero + rooms[kind] - 1;
        if (!roomy) context.fillStyle = theme.card;
        context.strokeStyle = roomy ? theme.card : theme[kind];
        context.lineWidth = 3;
        const at = [from + (wide - context.measureText(text).width) / 2, roomy ? outside : y(alive[i]) + (sign < 0 ? 13 : -5)];
        context.strokeText(text, ...at);
        context.fillText(text, ...at);
      }
    });
  }
  context.strokeStyle = theme.ink;
  context.lineWidth = 1;
  context.strokeRect(LEFT, zero, width - LEFT - RIGHT, 0);
  return "";
}

// Relevance summed over each grid's patches, or over the audio tokens of as long a time: [time, sum] pairs.
const curves = new Map();
function curveOf(method, kind, row) {
  const key = `${methods.indexOf(method)} ${kind} ${row}`;
  if (!curves.has(key)) {
    const values = method.tokens[kind].relevance[row];
    const length = DATA.secondsPerGrid > 0.2 ? DATA.secondsPerGrid : Math.max(0.5, DATA.seconds / 400);
    // Sound is hardly ever a whole number of these: a rest of less than half of one would be a drop to 0 at the end.
    const bins = kind === "video" ? DATA.grid[0] : Math.max(1, Math.round(DATA.soundSeconds / length));
    const step = kind === "video" ? DATA.secondsPerGrid : length;
    const total = new Float64Array(bins);
    values.forEach((value, i) => {
      const bin = kind === "video" ? Math.floor(i / patches()) : Math.floor(((i + 0.5) * soundStep()) / length);
      if (!Number.isNaN(value)) total[Math.min(bin, bins - 1)] += value;
    });
    curves.set(key, Array.from(total, (sum, bin) => [(bin + 0.5) * step, sum]));
  }
  return curves.get(key);
}

function drawRelevance(context, method, x, width, tall) {
  const row = scoredRow(method);
  if (row < 0) return "no layer was scored";
  const kinds = Object.keys(method.tokens);
  const top = Math.max(1e-9, ...kinds.map((kind) => curveOf(method, kind, row).reduce((most, [, sum]) => Math.max(most, sum), 0)));
  const zero = tall - FOOT - 4, y = (sum) => zero - (CURVE - 14) * (sum / top);
  context.fillStyle = theme.soft;
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  for (const share of [0, 0.5, 1]) {
    context.strokeRect(LEFT, y(top * share), width - LEFT - RIGHT, 0);
    context.fillText(share ? `${(100 * top * share).toPrecision(2)} %` : "0", 2, y(top * share) + 4);
  }
  for (const kind of kinds) {
    context.strokeStyle = theme[kind];
    context.fillStyle = theme[kind];
    context.lineWidth = 2.2;
    context.setLineDash(kind === "audio" ? [6, 4] : []);
    context.beginPath();
    const points = curveOf(method, kind, row);
    points.forEach(([time, sum]) => context.lineTo(x(Math.min(time, DATA.seconds)), y(sum)));
    context.stroke();
    context.setLineDash([]);
    if (points.length < 80)
      for (const [time, sum] of points) {
        context.beginPath();
        if (kind === "video") context.arc(x(time), y(sum), 2.6, 0, 7);
        else context.rect(x(Math.min(time, DATA.seconds)) - 2.2, y(sum) - 2.2, 4.4, 4.4);
        context.fill();
      }
  }
  return `read after layer ${method.scored[row]}`;
}

function showWindow(canvas, number, event) {
  const time = timeAt(canvas, event.offsetX);
  if (time < 0 || time > DATA.seconds) return hideTip();
  const method = methods[number], row = scoredRow(method);
  let index = 0;
  while (index + 2 < windowStarts.length && windowStarts[index + 1] <= time) index++;
  const rows = [["time", `${clock(windowStarts[index], 1)} to ${clock(windowStarts[index + 1], 1)}`]];
  for (const kind in method.tokens) {
    rows.push([kind, `${perWindow(method, kind, happened(method))[index]} of ${perWindow(method, kind, 0)[index]} tokens`]);
    if (row >= 0) {
      let sum = 0;
      method.tokens[kind].relevance[row].forEach((value, i) => {
        if (windowOf[kind][i] === index && !Number.isNaN(value)) sum += value;
      });
      rows.push([`${kind}, relevance`, `${short(100 * sum)} %`]);
    }
  }
  showTip({ title: `Window ${index + 1} of ${windowStarts.length - 1}`, rows }, event.clientX, event.clientY);
}
