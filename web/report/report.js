// Draws the pictures and the list of trades from the numbers embedded in the page. Asks nobody for anything,
// works out no statistic, and only ever sets text: names of tickers are strangers' words.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const T = DATA.trades, COUNT = T.net.length, RUPEE = "\u20b9";
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const byId = (id) => document.getElementById(id);

// --- words ---

const grouped = (whole) => String(whole).replace(/\B(?=(\d\d)*\d{3}$)/g, ",");
const signOf = (value) => (value < 0 ? "-" : value > 0 ? "+" : "");
const rupees = (paise, sign = signOf(paise)) => {
  const size = Math.abs(Math.round(paise));
  return `${sign}${RUPEE}${grouped(Math.floor(size / 100))}.${String(size % 100).padStart(2, "0")}`;
};
const price = (paise) => rupees(paise, "").slice(1);
const signed = (value, places = 2) => {
  const text = Math.abs(value).toFixed(places);
  return /[1-9]/.test(text) ? signOf(value) + text : text;
};
const short = (paise) => {
  const size = Math.abs(paise) / 100;
  const [unit, name] = size >= 1e7 ? [1e7, " Cr"] : size >= 1e5 ? [1e5, " L"] : size >= 1e3 ? [1e3, " k"] : [1, ""];
  return signOf(paise) + RUPEE + +(size / unit).toFixed(2) + name;
};
const two = (number) => String(number).padStart(2, "0");
const clock = (seconds, exact) => {
  const s = seconds % 86400, minutes = `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}`;
  return exact ? `${minutes}:${two(s % 60)}` : minutes;
};
const dated = (iso) => `${iso.slice(8)} ${MONTHS[+iso.slice(5, 7) - 1]} ${iso.slice(0, 4)}`;

// --- drawing ---

function make(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
const at = (value) => +value.toFixed(1);

function ticksOf(low, high, wanted) {
  const rough = (high - low) / wanted || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
  return ticks;
}

// An empty picture: its width, scales, and a grid of values with their words at the right edge.
function frame(figure, height, box, [low, high], words, label) {
  figure.querySelector("svg")?.remove();
  const width = figure.clientWidth, pad = { left: 10, right: 68, top: 12, bottom: 24, ...box };
  if (low === high) [low, high] = [low - 10000, high + 10000];  // a flat line: a hundred rupees either way
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: 0, "aria-label": label });
  const y = (value) => pad.top + ((high - value) / (high - low)) * (height - pad.top - pad.bottom);
  for (const tick of ticksOf(low, high, Math.max(2, Math.floor((height - pad.top - pad.bottom) / 45)))) {
    svg.append(make("line", { x1: pad.left, x2: width - pad.right, y1: at(y(tick)), y2: at(y(tick)), class: tick === 0 ? "zero" : "grid" }));
    svg.append(make("text", { x: width - pad.right + 6, y: at(y(tick)) + 4 }, words(tick)));
  }
  figure.append(svg);
  return { svg, y, width, pad, height, left: pad.left, right: width - pad.right };
}

function labelDays(f, x) {
  const wanted = Math.max(2, Math.floor((f.right - f.left) / 110)), days = DATA.days;
  const step = Math.max(1, Math.ceil(days.length / wanted));
  for (let i = 0; i < days.length; i += step) {
    if (x(i) > f.right - 60 && i) break;
    f.svg.append(make("text", { x: at(x(i)), y: f.height - 7 }, dated(days[i])));
  }
}

// Moving over a picture, or the arrow keys on it, reads out one entry after the other.
function readable(figure, f, count, x, say) {
  const line = make("line", { y1: f.pad.top, y2: f.height - f.pad.bottom, class: "cross", visibility: "hidden" });
  const read = figure.querySelector(".read");
  let now = count - 1;
  const show = (i) => {
    now = Math.min(count - 1, Math.max(0, i));
    for (const end of ["x1", "x2"]) line.setAttribute(end, at(x(now)));
    line.setAttribute("visibility", "visible");
    read.textContent = say(now);
  };
  f.svg.append(line);
  if (!count) return;
  f.svg.addEventListener("pointermove", (event) => {
    const place = ((event.clientX - f.svg.getBoundingClientRect().left) / f.svg.clientWidth) * f.width;
    show(Math.round(((place - x(0)) / (x(count - 1) - x(0) || 1)) * (count - 1)));
  });
  f.svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -count, End: count }[event.key];
    if (by) { event.preventDefault(); show(now + by); }
  });
}

function drawEquity() {
  const figure = byId("equity"), equity = [0], below = [0];
  let peak = 0;
  for (const net of DATA.daily) {
    equity.push(equity.at(-1) + net);
    peak = Math.max(peak, equity.at(-1));
    below.push(equity.at(-1) - peak);
  }
  const last = equity.length - 1, height = 330;
  const label = `Equity, from 0 to ${rupees(equity[last])} over ${last} sessions; deepest drawdown ${rupees(Math.min(...below))}.`;
  const f = frame(figure, height, { bottom: 114 }, [Math.min(...equity), Math.max(...equity)], short, label);
  const x = (i) => f.left + (i / (last || 1)) * (f.right - f.left);
  const deepest = Math.min(...below) || -1, top = height - 98, depth = 68;
  const down = (value) => top + (value / deepest) * depth;
  f.svg.append(make("path", { class: "curve", d: "M" + equity.map((v, i) => `${at(x(i))} ${at(f.y(v))}`).join("L") }));
  f.svg.append(make("path", { class: "sunk", d: `M${at(x(0))} ${top}L` + below.map((v, i) => `${at(x(i))} ${at(down(v))}`).join("L") + `L${at(x(last))} ${top}Z` }));
  f.svg.append(make("text", { x: f.right + 6, y: top + 5 }, "0"), make("text", { x: f.right + 6, y: top + depth }, short(Math.min(...below))));
  f.svg.append(make("text", { x: f.left + 4, y: top - 4 }, "drawdown"));
  labelDays(f, (i) => x(i + 1));
  f.pad.bottom = 24;
  readable(figure, f, last, (i) => x(i + 1), (i) => `${dated(DATA.days[i])}: equity ${rupees(equity[i + 1])}, drawdown ${rupees(below[i + 1])}`);
  figure.querySelector(".read").textContent = last ? `ends at ${rupees(equity[last])}` : "no sessions";
}

function drawDaily() {
  const figure = byId("daily"), daily = DATA.daily, count = daily.length;
  const ups = daily.filter((net) => net > 0).length, downs = daily.filter((net) => net < 0).length;
  const words = `${ups} sessions above zero, ${downs} below, ${count - ups - downs} at zero`;
  const f = frame(figure, 190, {}, [Math.min(0, ...daily), Math.max(0, ...daily)], short, `Net of each session: ${words}.`);
  const step = (f.right - f.left) / (count || 1), x = (i) => f.left + (i + 0.5) * step;
  const bars = (sign) => daily.map((net, i) => (net * sign > 0 ? `M${at(x(i))} ${at(f.y(0))}V${at(f.y(net))}` : "")).join("");
  const width = Math.max(0.7, Math.min(14, step * 0.7));
  f.svg.append(make("path", { class: "plus", "stroke-width": width, d: bars(1) }), make("path", { class: "minus", "stroke-width": width, d: bars(-1) }));
  labelDays(f, x);
  readable(figure, f, count, x, (i) => `${dated(DATA.days[i])}: ${rupees(daily[i])}`);
  figure.querySelector(".read").textContent = words;
}

function drawHistogram() {
  const figure = byId("histogram"), { low, step, counts } = DATA.histogram, bars = counts.length;
  const f = frame(figure, 260, {}, [0, Math.max(1, ...counts)], (v) => (Number.isInteger(v) ? grouped(v) : ""), "How many trades ended at which net R.");
  const x = (i) => f.left + (i / bars) * (f.right - f.left), width = x(1) - x(0);
  counts.forEach((count, i) => {
    if (count) f.svg.append(make("rect", { x: at(x(i) + 1), width: at(width - 2), y: at(f.y(count)), height: at(f.y(0) - f.y(count)), class: low + i * step < 0 ? "minus-bar" : "plus-bar" }));
  });
  const every = f.right - f.left < 420 ? 2 : 1;
  for (let r = low; r <= low + bars * step; r += every) {
    const edge = r === low ? "below " : r === low + bars * step ? "above " : "";
    f.svg.append(make("text", { x: at(x((r - low) / step)), y: f.height - 7, "text-anchor": edge === "below " ? "start" : edge ? "end" : "middle" }, edge ? "" : signed(r, 0) + "R"));
  }
  const name = (i) => (i === 0 ? `below ${signed(low + step)} R` : i === bars - 1 ? `from ${signed(low + i * step)} R` : `${signed(low + i * step)} to ${signed(low + (i + 1) * step)} R`);
  readable(figure, f, bars, (i) => x(i + 0.5), (i) => `${name(i)}: ${grouped(counts[i])} trades`);
  figure.querySelector(".read").textContent = "filled: winners, hollow: losers; the ends hold all beyond";
}

function drawScatter() {
  const figure = byId("scatter"), sorted = (list) => [...list].sort((a, b) => a - b);
  const reach = (list) => Math.max(1000, sorted(list)[Math.floor(0.995 * list.length)] ?? 0) / 1000;
  const widest = reach(T.mae), highest = reach(T.mfe);
  const f = frame(figure, 260, { top: 22, bottom: 36 }, [0, highest], (v) => signed(v, v % 1 ? 1 : 0) + "R", "Maximum adverse against maximum favourable excursion of each trade, in R.");
  const x = (r) => f.left + 6 + (Math.min(r, widest) / widest) * (f.right - f.left - 12);
  const arm = COUNT > 2000 ? 1.4 : 2.2;  // thousands of marks would run together
  let dots = "", crosses = "";
  for (let i = 0; i < COUNT; i++) {
    const px = at(x(T.mae[i] / 1000)), py = at(f.y(Math.min(T.mfe[i] / 1000, highest)));
    if (T.net[i] > 0) dots += `M${px} ${py}h0`;
    else crosses += `M${px - arm} ${py - arm}l${2 * arm} ${2 * arm}m0-${2 * arm}l-${2 * arm} ${2 * arm}`;
  }
  f.svg.append(make("path", { class: "crosses", d: crosses }), make("path", { class: "dots", "stroke-width": COUNT > 2000 ? 2.5 : 4, d: dots }));
  for (const r of ticksOf(0, widest, Math.max(2, Math.floor(f.right / 80)))) f.svg.append(make("text", { x: at(x(r)), y: f.height - 20, "text-anchor": "middle" }, r ? signed(-r, r % 1 ? 1 : 0) + "R" : "0"));
  f.svg.append(make("text", { x: f.left + 6, y: f.height - 5 }, "against us: MAE"), make("text", { x: f.left + 6, y: 14 }, "for us: MFE"));
  figure.querySelector(".read").textContent = "winners are dots, losers crosses; the edge holds the outermost 0.5 %";
}

// --- one trade and its candles ---

// The inverse of report_candles.pack(): bytes of equal weight together, zigzag, deflated.
async function unpack(text, columns) {
  if (!text) return Array.from({ length: columns }, () => []);
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer()), rows = raw.length / 4 / columns;
  return Array.from({ length: columns }, (_, c) => {
    const values = new Int32Array(rows), from = c * rows * 4;
    for (let i = 0; i < rows; i++) {
      const zigzag = raw[from + i] | (raw[from + rows + i] << 8) | (raw[from + 2 * rows + i] << 16) | (raw[from + 3 * rows + i] << 24);
      values[i] = (zigzag >>> 1) ^ -(zigzag & 1);
    }
    return values;
  });
}
const summed = (values) => { let sum = 0; return values.map((value) => (sum += value)); };
const starts = (counts) => { let sum = 0; return counts.map((count) => (sum += count) - count); };

let bars, stops;
async function load() {
  const [minute, gap, body, above, under] = await unpack(DATA.bars.data, 5), unit = DATA.bars.unit;
  let last = 0;
  const open = gap.map((value, i) => { const first = last + value; last = first + body[i]; return first; });
  bars = { minute: summed(minute), open: [], high: [], low: [], close: [], from: starts(DATA.bars.counts) };
  open.forEach((first, i) => {
    const close = first + body[i];
    bars.open.push(first * unit);
    bars.close.push(close * unit);
    bars.high.push((Math.max(first, close) + above[i]) * unit);
    bars.low.push((Math.min(first, close) - under[i]) * unit);
  });
  const [second, step] = await unpack(DATA.stops.data, 2);
  stops = { second: summed(second), price: summed(step), from: starts(DATA.stops.counts) };
}

// Where the stop stood: pairs of seconds of the day and paise, from the entry to the exit.
function pathOf(i) {
  const path = [[T.in[i], T.stop[i]]], from = stops.from[i];
  for (let k = from; k < from + DATA.stops.counts[i]; k++) path.push([T.in[i] + stops.second[k], T.stop[i] + stops.price[k]]);
  return [...path.filter(([second]) => second <= T.in[i] + T.held[i]), [T.in[i] + T.held[i], path.at(-1)[1]]];
}

function drawTrade(i) {
  const figure = byId("trade"), count = DATA.bars.counts[i], from = bars.from[i];
  const entry = T.entry[i] / T.qty[i], exit = T.exit[i] / T.qty[i], path = pathOf(i);
  const read = figure.querySelector(".read");
  if (!count) {
    figure.querySelector("svg")?.remove();
    read.textContent = "No candles of this trade are in the report.";
    return;
  }
  const cut = (list) => list.slice(from, from + count);
  const [minute, open, high, low, close] = [bars.minute, bars.open, bars.high, bars.low, bars.close].map(cut);
  const prices = [...high, ...low, entry, exit, ...path.map(([, stop]) => stop)];
  const most = Math.max(...prices), least = Math.min(...prices), air = (most - least) * 0.06 || 1;
  const f = frame(figure, 360, { right: 78 }, [least - air, most + air], price, `Candles of ${nameOf(i)} with the entry, the exit and the stop.`);
  const step = (f.right - f.left) / count, x = (k) => f.left + (k + 0.5) * step;
  const merged = DATA.bars.merged[i];
  const width = count > 1 ? Math.min(...Array.from({ length: count - 1 }, (_, k) => minute[k + 1] - minute[k])) : 1;
  const when = (seconds) => {  // a moment's place: within its own candle
    let k = minute.findLastIndex((m) => m * 60 <= seconds);
    if (k < 0) k = 0;
    return f.left + (k + Math.min(1, Math.max(0, (seconds - minute[k] * 60) / (width * 60)))) * step;
  };
  const x1 = when(T.in[i]), x2 = Math.max(x1 + 2, when(T.in[i] + T.held[i]));
  f.svg.append(make("rect", { x: at(x1), width: at(x2 - x1), y: f.pad.top, height: f.height - f.pad.top - f.pad.bottom, class: "held" }));
  let wicks = "";
  const half = Math.max(0.6, Math.min(6, step * 0.36)), bodies = { up: "", down: "" };
  for (let k = 0; k < count; k++) {
    const top = at(f.y(Math.max(open[k], close[k]))), bottom = Math.max(top + 1, at(f.y(Math.min(open[k], close[k]))));
    wicks += `M${at(x(k))} ${at(f.y(high[k]))}V${top}M${at(x(k))} ${bottom}V${at(f.y(low[k]))}`;
    bodies[close[k] < open[k] ? "down" : "up"] += `M${at(x(k) - half)} ${top}H${at(x(k) + half)}V${bottom}H${at(x(k) - half)}Z`;
  }
  f.svg.append(make("path", { class: "wick", d: wicks }), make("path", { class: "up", d: bodies.up }), make("path", { class: "down", d: bodies.down }));
  f.svg.append(make("path", { class: "stop", d: `M${at(when(path[0][0]))} ${at(f.y(path[0][1]))}` + path.slice(1).map(([s, p]) => `H${at(Math.max(x1, when(s)))}V${at(f.y(p))}`).join("") }));
  f.svg.append(make("line", { x1: at(x1), x2: at(x2), y1: at(f.y(entry)), y2: at(f.y(exit)), class: "way" }));
  const long = T.side[i] > 0, up = (px, py, sign) => `M${at(px)} ${at(py)}l-6 ${sign * 11}h12Z`;
  f.svg.append(make("path", { class: "arrow", d: up(x1, f.y(entry), long ? 1 : -1) + up(x2, f.y(exit), long ? -1 : 1) }));
  const word = (text, px, py, end) => f.svg.append(make("text", { x: at(px), y: at(Math.max(24, Math.min(f.height - 30, py))), class: "strong halo", "text-anchor": end ? "end" : "start" }, text));
  const room = x1 > 110, far = room ? 0 : 10;  // at the left edge the words stand inside, clear of the lines
  word(`${long ? "BUY" : "SELL"} ${price(entry)}`, x1 + (room ? -9 : 9), f.y(entry) + (long ? 14 + far : -6 - far), room);
  word(`EXIT ${price(exit)}`, x2 + 9, f.y(exit) + (long ? -6 : 14), x2 > f.right - 110);
  word(`stop ${price(path[0][1])}`, x1 + (room ? -9 : 2), f.y(path[0][1]) + (room ? 4 : long ? 15 : -7), room);
  const every = Math.max(1, Math.ceil(count / Math.max(2, Math.floor((f.right - f.left) / 70))));
  for (let k = 0; k < count; k += every) f.svg.append(make("text", { x: at(x(k)), y: f.height - 7, "text-anchor": "middle" }, clock(minute[k] * 60)));
  readable(figure, f, count, x, (k) => `${clock(minute[k] * 60)} open ${price(open[k])}, high ${price(high[k])}, low ${price(low[k])}, close ${price(close[k])}`);
  read.textContent = `hollow candles rise, filled ones fall; dashed: the stop${merged > 1 ? `; ${merged} bars drawn as one` : ""}`;
}

const nameOf = (i) => `trade ${i + 1}: ${T.side[i] > 0 ? "long" : "short"} ${DATA.tickers[T.ticker[i]]}`;
const broken = (i) => DATA.rules.filter((_, k) => !(T.followed[i] & (1 << k)));

function factsOf(i) {
  const name = DATA.days[T.day[i]];
  return [
    ["Entry", `${dated(name)} ${clock(T.in[i], true)} IST at ${price(T.entry[i] / T.qty[i])}`],
    ["Exit", `${clock(T.in[i] + T.held[i], true)} at ${price(T.exit[i] / T.qty[i])}, by ${DATA.reasons[T.reason[i]]}`],
    ["Shares", grouped(T.qty[i])], ["Initial stop", price(T.stop[i])],
    ["Net", rupees(T.net[i])], ["Charges", rupees(T.charges[i], "")],
    ["R", signed(T.r[i] / 1000)], ["MAE(R)", (T.mae[i] / 1000).toFixed(2)], ["MFE(R)", (T.mfe[i] / 1000).toFixed(2)],
    ["%MFE", kept(i)], ["IS", `${signed(T.shortfall[i] / 10, 1)} % of risk`],
    ["Rules not followed", broken(i).join(", ") || "none"],
  ];
}

// --- the list ---

// A loss over next to nothing that was offered has thousands of percent; beyond this they say the same.
const kept = (i) => (T.kept[i] < -9990 ? "< -999" : signed(T.kept[i] / 10, 1));
const rulesKept = (i) => (100 * (DATA.rules.length - broken(i).length)) / DATA.rules.length;
const COLUMNS = [
  ["#", (i) => i + 1, (i) => String(i + 1)],
  ["Ticker", (i) => DATA.tickers[T.ticker[i]], (i) => DATA.tickers[T.ticker[i]]],
  ["Side", (i) => T.side[i], (i) => (T.side[i] > 0 ? "long" : "short")],
  ["Entry, IST", (i) => T.day[i] * 1e5 + T.in[i], (i) => `${DATA.days[T.day[i]]} ${clock(T.in[i], true)}`],
  ["Exit", (i) => T.day[i] * 1e5 + T.in[i] + T.held[i], (i) => clock(T.in[i] + T.held[i], true)],
  ["R", (i) => T.r[i], (i) => signed(T.r[i] / 1000)],
  [`Net ${RUPEE}`, (i) => T.net[i], (i) => rupees(T.net[i]).replace(RUPEE, "")],
  ["MAE(R)", (i) => T.mae[i], (i) => (T.mae[i] / 1000).toFixed(2)],
  ["MFE(R)", (i) => T.mfe[i], (i) => (T.mfe[i] / 1000).toFixed(2)],
  ["%MFE", (i) => T.kept[i], kept],
  ["IS %", (i) => T.shortfall[i], (i) => signed(T.shortfall[i] / 10, 1)],
  ["Rules %", rulesKept, (i) => String(rulesKept(i))],
  [`Charges ${RUPEE}`, (i) => T.charges[i], (i) => price(T.charges[i])],
  ["Exit by", (i) => DATA.reasons[T.reason[i]], (i) => DATA.reasons[T.reason[i]]],
  ["Shares", (i) => T.qty[i], (i) => grouped(T.qty[i])],
  ["In at", (i) => T.entry[i] / T.qty[i], (i) => price(T.entry[i] / T.qty[i])],
  ["Out at", (i) => T.exit[i] / T.qty[i], (i) => price(T.exit[i] / T.qty[i])],
  ["Stop", (i) => T.stop[i], (i) => price(T.stop[i])],
];
const WORDS = new Set(["Ticker", "Side", "Entry, IST", "Exit", "Exit by"]), ROWS = 50;
const list = { order: Array.from({ length: COUNT }, (_, i) => i), column: 0, down: false, page: 0, chosen: 0 };

const compared = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function arrange() {
  const wanted = byId("ticker").value.trim().toUpperCase(), outcome = +byId("outcome").value, reason = byId("reason").value;
  const value = COLUMNS[list.column][1], sign = list.down ? -1 : 1;
  list.order = Array.from({ length: COUNT }, (_, i) => i).filter((i) =>
    (!wanted || DATA.tickers[T.ticker[i]].toUpperCase().includes(wanted)) &&
    (!outcome || (outcome > 0) === (T.net[i] > 0)) && (!reason || T.reason[i] === +reason));
  list.order.sort((a, b) => sign * compared(value(a), value(b)) || a - b);
  list.page = 0;
  showRows();
}

function showRows() {
  const pages = Math.max(1, Math.ceil(list.order.length / ROWS));
  list.page = Math.min(pages - 1, Math.max(0, list.page));
  const body = document.createDocumentFragment();
  for (const i of list.order.slice(list.page * ROWS, (list.page + 1) * ROWS)) {
    const row = document.createElement("tr");
    row.classList.toggle("chosen", i === list.chosen);
    COLUMNS.forEach(([name, , text], c) => {
      const cell = document.createElement("td");
      if (!WORDS.has(name)) cell.className = "n";
      if (c) cell.textContent = text(i);
      else {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = text(i);
        button.setAttribute("aria-label", `show ${nameOf(i)}`);
        button.addEventListener("click", () => choose(i, true));
        cell.append(button);
      }
      row.append(cell);
    });
    body.append(row);
  }
  byId("trades").tBodies[0].replaceChildren(body);
  byId("page").textContent = `page ${list.page + 1} of ${pages}`;
  byId("shown").textContent = `${grouped(list.order.length)} of ${grouped(COUNT)} trades`;
  const place = list.order.indexOf(list.chosen);
  byId("before").disabled = place <= 0;
  byId("after").disabled = place === list.order.length - 1;
  byId("back").disabled = list.page === 0;
  byId("forth").disabled = list.page === pages - 1;
}

function choose(i, move) {
  list.chosen = i;
  const which = document.querySelector("#trade .which");
  which.textContent = nameOf(i).replace("trade", "Trade");
  byId("facts").replaceChildren(...factsOf(i).map(([name, text]) => {
    const pair = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    [dt.textContent, dd.textContent] = [name, text];
    pair.append(dt, dd);
    return pair;
  }));
  const place = list.order.indexOf(i);
  if (place >= 0) list.page = Math.floor(place / ROWS);
  showRows();
  if (bars) drawTrade(i);
  if (move) { which.scrollIntoView({ block: "nearest" }); which.focus({ preventScroll: true }); }
}

function step(by) {
  const next = list.order[list.order.indexOf(list.chosen) + by];
  if (next !== undefined) choose(next, false);
}

// A button in each head; the first click sorts numbers downwards, words upwards.
function sortable(cell, isWord, sort) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = cell.textContent;
  cell.replaceChildren(button);
  button.addEventListener("click", () => {
    const now = cell.getAttribute("aria-sort"), down = now ? now === "ascending" : !isWord;
    for (const other of cell.parentNode.children) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    sort(down);
  });
}

function sortTables() {
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((cell, c) => sortable(cell, c === 0, (down) => {
      const value = (row) => (c ? +row.cells[c].dataset.v : row.cells[0].textContent);
      const rows = [...table.tBodies[0].rows].filter((row) => row.cells.length > 1);
      table.tBodies[0].append(...rows.sort((a, b) => (down ? -1 : 1) * compared(value(a), value(b))));
    }));
  }
}

function start() {
  const head = document.createElement("tr");
  byId("trades").tHead.append(head);
  COLUMNS.forEach(([name], c) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    if (!WORDS.has(name)) cell.className = "n";
    head.append(cell);
    sortable(cell, WORDS.has(name), (down) => { [list.column, list.down] = [c, down]; arrange(); });
  });
  for (const reason of new Set(T.reason)) byId("reason").append(new Option(DATA.reasons[reason], reason));
  byId("filter").addEventListener("input", arrange);
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("back").addEventListener("click", () => { list.page--; showRows(); });
  byId("forth").addEventListener("click", () => { list.page++; showRows(); });
  byId("before").addEventListener("click", () => step(-1));
  byId("after").addEventListener("click", () => step(1));
  sortTables();
  if (COUNT) choose(0, false);
  else for (const id of ["trade", "filter"]) byId(id).hidden = true;
  showRows();
}

function draw() {
  drawEquity();
  drawDaily();
  drawHistogram();
  drawScatter();
  if (COUNT && bars) drawTrade(list.chosen);
}

start();
draw();
let width = document.body.clientWidth;
new ResizeObserver(() => {
  if (document.body.clientWidth !== width) { width = document.body.clientWidth; draw(); }
}).observe(document.body);
load().then(() => { if (COUNT) drawTrade(list.chosen); }, (error) => {
  document.querySelector("#trade .read").textContent = `This browser cannot unpack the candles: ${error.message}`;
});
