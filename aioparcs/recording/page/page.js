"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const PALETTE = ["#3b82c4", "#2a9d7f", "#b7791f", "#8b5fbf", "#c2578f", "#5a8f29", "#2f8f9d", "#a0694b", "#6573c3", "#7d7f2a"];
const LABEL = 132, AXIS = 22;
const HOW = ["running at the end of the recording", "ended", "stopped", "lost"];

// Text

function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value >= 7200) return `${(value / 3600).toFixed(1)} h`;
  if (value >= 120) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  if (value >= 1) return `${value.toPrecision(3)} s`;
  if (value >= 0.001) return `${(value * 1e3).toPrecision(3)} ms`;
  return value === 0 ? "0 s" : `${(value * 1e6).toPrecision(3)} µs`;
}
const whole = (value) => (value === null ? "?" : Math.round(value).toLocaleString("en-US"));
const percent = (value) => (value === null ? "–" : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`);
const perSecond = (value) => `${value >= 100 ? whole(value) : value.toPrecision(3)}/s`;
const at = (value) => (value === null ? "" : `${value.toFixed(2)} s`);
const plural = (count, one) => `${whole(count)} ${one}${count === 1 ? "" : "s"}`;

// Overview

function figure(name, value, note = "", bad = false) {
  const shown = make("dd", { text: value });
  if (note) shown.append(make("small", { text: note, class: bad ? "bad" : "" }));
  $("figures").append(make("div", {}, make("dt", { text: name }), shown));
}

function showOverview() {
  const one = data.overview;
  document.title = `${data.program} – aioparcs report`;
  $("program").textContent = data.program;
  const date = new Date(data.date * 1000).toISOString().replace("T", " ").slice(0, 19);
  const isStopped = /^stopped( by SIG(INT|TERM))?$/.test(data.error);
  const state = isStopped ? "stopped" : data.error ? "failed" : data.isWhole ? "succeeded" : "its end was not recorded";
  $("subtitle").textContent = `${date} UTC · ${state} · ` + Object.entries(data.versions).map(([name, value]) => `${name} ${value}`).join(" · ");
  figure("Duration", seconds(one.duration));
  figure("Workers", whole(one.workers), one.lost ? `${whole(one.lost)} lost` : `${whole(one.peak)} at once at most`, one.lost > 0);
  figure("Items", whole(one.items), one.failed ? `${whole(one.failed)} failed` : "", one.failed > 0);
  figure("Calls", whole(one.calls), one.calls ? perSecond(one.rate) : "");
  figure("Utilisation", percent(one.utilisation), "of the pools' workers' time");
  const failure = data.error || (data.isWhole ? "" : "The end of the program was not recorded: it was killed, or is still running.");
  if (!failure) return;
  $("failure").hidden = false;
  $("failure-text").textContent = failure;
  if (isStopped || !data.error) $("failure-title").textContent = isStopped ? "Stopped" : "No end";
  if (data.last.length) showLines($("failure-lines"), data.last, "");
  else $("failure-log").hidden = true;
}

// Log

function marked(text, word) {
  const parts = [];
  const lower = text.toLowerCase();
  let from = 0, found;
  while (word && (found = lower.indexOf(word, from)) >= 0) {
    parts.push(text.slice(from, found), make("mark", { text: text.slice(found, found + word.length) }));
    from = found + word.length;
  }
  parts.push(text.slice(from));
  return parts;
}

function showLines(target, lines, word) {
  const part = document.createDocumentFragment();
  for (const line of lines) {
    if (typeof line === "string") { part.append(make("span", { class: "notice", text: line }), "\n"); continue; }
    const [time, origin, text, kind] = line;
    part.append(make("span", { class: "time", text: time.toFixed(2).padStart(8) }), " ", make("span", { class: "origin", text: origin }), " ",
      make("span", { class: ["", "notice", "warning"][kind] }, ...marked(text, word)), "\n");
  }
  target.replaceChildren(part);
}

function showLog() {
  const { first, last, omitted } = data.log;
  if (!first.length) { $("log").hidden = true; return; }
  const lines = [...first, ...(omitted ? [`… ${plural(omitted, "line")} left out …`] : []), ...last];
  const search = () => {
    const word = $("search").value.toLowerCase();
    const found = word ? lines.filter((line) => typeof line !== "string" && `${line[1]} ${line[2]}`.toLowerCase().includes(word)) : lines;
    showLines($("lines"), found, word);
    $("found").textContent = word ? plural(found.length, "line") : omitted ? `${whole(omitted)} of ${plural(omitted + first.length + last.length, "line")} left out` : plural(lines.length, "line");
  };
  $("search").addEventListener("input", search);
  search();
}

// Tables

function table(title, columns, { rows, count }) {
  if (!rows.length) return;
  const used = columns.map((_, i) => rows.some((row) => row[i] !== "" && row[i] !== null));
  rows = rows.map((row) => row.filter((_, i) => used[i]));
  columns = columns.filter((_, i) => used[i]);
  const body = make("tbody");
  const fill = (sorted) => body.replaceChildren(...sorted.map((row) => make("tr", {}, ...row.map((value, i) => {
    const [, show, kind = ""] = columns[i];
    return make("td", { class: show ? `number ${kind && value ? kind : ""}` : kind, text: show ? show(value) : value });
  }))));
  const heads = columns.map(([name, show], i) => {
    const head = make("th", { scope: "col", class: show ? "number" : "" }, make("button", { type: "button", text: name }));
    head.firstChild.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      fill([...rows].sort((a, b) => sign * (a[i] > b[i] ? 1 : a[i] < b[i] ? -1 : 0)));
    });
    return head;
  });
  fill(rows);
  const id = `table-${title.toLowerCase().replaceAll(" ", "-")}`;
  const section = make("section", { "aria-labelledby": id }, make("h2", { id, text: title }),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": id }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body)));
  if (count > rows.length) section.append(make("p", { class: "more", text: `The first ${rows.length} of ${whole(count)}.` }));
  $("tables").append(section);
}

function showTables() {
  const text = (name, kind) => [name, null, kind];
  table("Worker deaths", [["Time", at], text("Worker"), text("Node"), text("Reason", "wide")], data.deaths);
  table("Failed calls", [["Time", at], text("Function"), text("Call", "wide"), text("Error", "wide"), text("Worker"), text("Node")], data.failed);
  table("Functions", [text("Function"), ["Calls", whole], ["Failed", whole, "bad"], ["Cancelled", (value) => whole(value || 0)], ["Time in all", seconds], ["Share", percent], ["Mean", seconds], ["Spread of means", seconds], ["Longest", seconds]], data.functions);
  table("Pools", [text("Pool"), ["Done", whole], ["Of", whole], ["Failed", whole, "bad"], ["Repeated", whole], ["Workers", whole], ["Began", at], ["Took", seconds], ["Items per second", perSecond]], data.pools);
  const nodes = data.nodes.rows.map(([node, workers, lost, calls, busy, available]) => [node, workers, lost, calls, busy, available ? busy / available : null]);
  table("Nodes", [text("Node"), ["Workers", whole], ["Lost", whole, "bad"], ["Calls", whole], ["Time in calls", seconds], ["Utilisation", percent]], { rows: nodes, count: data.nodes.count });
  const times = (value) => `${value.toFixed(1)} ×`;
  table("Stragglers", [text("Worker"), text("Node"), ["Calls", whole], ["Busy", seconds], ["Busy, by the median", times], ["Mean call, by the median", times]], data.stragglers);
  table("Slowest calls", [["Took", seconds], text("Function"), text("Call", "wide"), text("Worker"), text("Node"), ["Began", at]], data.slowest);
  table("Notices", [["Time", at], text("From"), text("Text", "wide")], data.notices);
}

// Canvases

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

function fit(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "12px system-ui, sans-serif";
  return context;
}

function steps(from, to, most) {
  const rough = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough) || power * 10;
  const marks = [];
  for (let one = Math.ceil(from / step - 1e-9) * step; one <= to + step * 1e-6; one += step) marks.push(one);
  return [marks, step];
}
const tick = (value, step) => (step >= 60 ? `${(value / 60).toFixed(step % 60 ? 1 : 0)} min` : `${value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))} s`);

function chart(canvas, areas, end) {
  const width = canvas.parentNode.clientWidth, height = 150, left = 44, bottom = height - 20;
  const context = fit(canvas, width, height);
  const top = (Math.max(0, ...areas.flatMap(({ values }) => values)) || 1) * 1.08;
  const x = (i, count) => left + ((width - left - 8) * i) / count, y = (value) => bottom - ((bottom - 8) * value) / top;
  context.fillStyle = colour("dim");
  context.strokeStyle = colour("line");
  for (const mark of steps(0, top, 3)[0]) {
    context.beginPath(); context.moveTo(left, y(mark)); context.lineTo(width - 8, y(mark)); context.stroke();
    context.textAlign = "right";
    context.fillText(mark >= 1e4 ? `${+(mark / 1000).toPrecision(3)}k` : `${+mark.toPrecision(3)}`, left - 6, y(mark) + 4);
  }
  const [marks, step] = steps(0, end, width / 110);
  context.textAlign = "center";
  for (const mark of marks) context.fillText(tick(mark, step), Math.min(width - 18, x(mark / end, 1)), height - 5);
  for (const { values, fill, line } of areas) {
    context.beginPath();
    context.moveTo(left, bottom);
    values.forEach((value, i) => { context.lineTo(x(i, values.length), y(value)); context.lineTo(x(i + 1, values.length), y(value)); });
    context.lineTo(x(1, 1), bottom);
    context.fillStyle = context.strokeStyle = colour(fill || line);
    if (fill) context.fill(); else { context.lineWidth = 1.5; context.stroke(); context.lineWidth = 1; }
  }
}

function showCharts() {
  const { connected, busy, rate } = data.series, end = Math.max(data.overview.duration, 1e-3);
  chart($("at-work"), [{ values: connected, fill: "start" }, { values: busy, fill: "accent" }], end);
  chart($("rate"), [{ values: rate, fill: "accent" }], end);
}

// Timeline

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

class Timeline {
  constructor({ workers, spans }, about) {
    this.about = about;
    this.end = Math.max(data.overview.duration, 1e-3);
    this.workers = workers.map(([number, module, node, requested, connected, ended, how], i) => {
      const time = (units) => (units < 0 ? null : units * about.unit);
      const all = this.decode(spans[i]), talks = all.filter((one) => one.fn < 0);
      return { number, how, module: about.modules[module], node: about.nodes[node], requested: time(requested), connected: time(connected), ended: time(ended), spans: all.filter((one) => one.fn >= 0), talks };
    });
    this.from = 0;
    this.to = this.end;
    this.bands = this.workers.length > 150;
    this.scroller = $("scroller");
    this.canvas = $("rows");
    this.listen();
    this.arrange();
  }

  decode(flat) {
    const spans = [];
    let reached = 0;
    for (let i = 0; i < flat.length; i += 8) {
      const begin = reached + flat[i];
      reached = begin + flat[i + 1];
      const unit = this.about.unit;
      spans.push({ begin: begin * unit, end: reached * unit, fn: flat[i + 2], calls: flat[i + 3], failed: flat[i + 4], share: flat[i + 5] / 100, text: flat[i + 6], cancelled: flat[i + 7] });
    }
    return spans;
  }

  arrange() {
    this.rows = [];
    let module = null, node = null;
    const many = this.about.nodes.length > 1;
    const size = this.bands ? Math.max(2, Math.ceil(this.workers.length / 60)) : 1;
    this.height = this.bands || this.workers.length > 40 ? 15 : 20;
    for (const worker of this.workers) {
      if (worker.module !== module || (many && worker.node !== node)) {
        ({ module, node } = worker);
        this.rows.push({ title: many && node ? `${module} on ${node}` : module, workers: [] });
      }
      const last = this.rows[this.rows.length - 1];
      if (last.title === undefined && last.workers.length < size) last.workers.push(worker);
      else this.rows.push({ workers: [worker] });
    }
    for (const row of this.rows) row.main = this.mainFunction(row.workers);
    $("bands").setAttribute("aria-pressed", String(this.bands));
    this.draw();
  }

  get width() { return Math.max(50, this.canvas.clientWidth - this.label); }
  get label() { return this.scroller.clientWidth < 500 ? 74 : LABEL; }
  x(time) { return this.label + ((time - this.from) / (this.to - this.from)) * this.width; }
  time(x) { return this.from + ((x - this.label) / this.width) * (this.to - this.from); }

  draw() {
    const full = this.rows.length * this.height + AXIS + 4;
    const view = Math.min(full, window.innerWidth < 600 ? 420 : 560);
    this.scroller.style.height = `${view + 2}px`;
    $("spacer").style.height = `${full - view}px`;
    const width = this.scroller.clientWidth;
    const context = fit(this.canvas, width, view);
    const colours = Object.fromEntries(["idle", "talk", "start", "bad", "text", "dim", "line", "soft", "card"].map((name) => [name, colour(name)]));
    const top = this.scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / this.height));
    context.save();
    context.beginPath(); context.rect(0, AXIS, width, view - AXIS); context.clip();
    for (let i = first; i < this.rows.length; i++) {
      const y = AXIS + i * this.height - top;
      if (y > view) break;
      this.row(context, this.rows[i], y, width, colours);
    }
    context.restore();
    this.axis(context, width, view, colours);
    this.scroller.setAttribute("aria-label", `Timeline of ${plural(this.workers.length, "worker")}, from ${at(this.from)} to ${at(this.to)}`);
  }

  row(context, row, y, width, colours) {
    const { title, workers } = row;
    context.textAlign = "left";
    if (title !== undefined) {
      context.fillStyle = colours.soft;
      context.fillRect(0, y, width, this.height);
      context.fillStyle = colours.text;
      context.fillText(title, 8, y + this.height - 5, width - 16);
      return;
    }
    const name = workers.length > 1 ? `${workers[0].number}–${workers[workers.length - 1].number}` : `${workers[0].number}`;
    context.fillStyle = colours.dim;
    context.fillText(name, 14, y + this.height - 5, this.label - 20);
    context.save();
    context.beginPath(); context.rect(this.label, y, width - this.label, this.height); context.clip();
    if (workers.length > 1) this.band(context, row, y, colours);
    else this.worker(context, workers[0], y, colours);
    context.restore();
  }

  bar(context, begin, end, y, inset) {
    const from = this.x(begin), to = this.x(end);
    if (to < this.label - 1 || from > this.label + this.width) return;
    context.fillRect(from, y + inset, Math.max(1, to - from - (to - from > 4 ? 0.6 : 0)), this.height - 2 * inset);
  }

  /** Leave only the edge of a call that was cancelled, where there is room for one. */
  hollow(context, { begin, end }, y, colours) {
    const from = this.x(begin) + 1.5, to = this.x(end) - 2.1;
    context.fillStyle = colours.card;
    if (to > from) context.fillRect(from, y + 3.5, to - from, this.height - 7);
  }

  worker(context, worker, y, colours) {
    const gone = worker.ended === null ? this.end : worker.ended;
    const ready = worker.connected === null ? gone : worker.connected;
    context.fillStyle = colours.start;
    this.bar(context, worker.requested, ready, y, this.height / 2 - 1);
    context.fillStyle = colours.idle;
    if (worker.connected !== null) this.bar(context, ready, gone, y, this.height / 4);
    context.fillStyle = colours.talk;
    for (const talk of worker.talks) this.bar(context, talk.begin, talk.end, y, this.height / 4);
    for (const span of worker.spans) {
      if (span.end < this.from || span.begin > this.to) continue;
      context.globalAlpha = span.failed ? 1 : Math.max(0.3, span.share);
      context.fillStyle = span.failed ? colours.bad : PALETTE[span.fn % PALETTE.length];
      this.bar(context, span.begin, span.end, y, span.failed ? 1 : 2);
      if (span.cancelled === span.calls) this.hollow(context, span, y, colours);
    }
    context.globalAlpha = 1;
    if (worker.how === 3) this.cross(context, gone, y, colours);
  }

  cross(context, time, y, colours) {
    const x = Math.min(this.x(time), this.label + this.width - 5), middle = y + this.height / 2;
    context.strokeStyle = colours.bad;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x - 4, middle - 4); context.lineTo(x + 4, middle + 4); context.moveTo(x - 4, middle + 4); context.lineTo(x + 4, middle - 4);
    context.stroke();
    context.lineWidth = 1;
  }

  band(context, { workers, main }, y, colours) {
    const count = Math.ceil(this.width), busy = new Float64Array(count), up = new Float64Array(count), talking = new Float64Array(count), failed = new Uint8Array(count);
    const add = (values, begin, end, share) => {
      const from = this.x(begin) - this.label, to = this.x(end) - this.label;
      for (let i = Math.max(0, Math.floor(from)); i < Math.min(count, to); i++) values[i] += share * Math.min(1, Math.min(i + 1, to) - Math.max(i, from));
    };
    for (const worker of workers) {
      if (worker.connected !== null) add(up, worker.connected, worker.ended === null ? this.end : worker.ended, 1);
      for (const talk of worker.talks) add(talking, talk.begin, talk.end, 1);
      for (const span of worker.spans) {
        if (span.end < this.from || span.begin > this.to) continue;
        add(busy, span.begin, span.end, span.share);
        if (span.failed) failed[Math.min(count - 1, Math.max(0, Math.floor(this.x(span.begin) - this.label)))] = 1;
      }
    }
    const tint = PALETTE[main % PALETTE.length];
    for (let i = 0; i < count; i++) {
      const x = this.label + i;
      if (up[i]) { context.fillStyle = colours.idle; context.fillRect(x, y + 1, 1, this.height - 2); }
      const share = busy[i] || talking[i];
      if (share) { context.globalAlpha = Math.min(1, 0.12 + (0.88 * share) / workers.length); context.fillStyle = busy[i] ? tint : colours.talk; context.fillRect(x, y + 1, 1, this.height - 2); context.globalAlpha = 1; }
      if (failed[i]) { context.fillStyle = colours.bad; context.fillRect(x, y + 1, 1.5, this.height - 2); }
    }
    for (const worker of workers) if (worker.how === 3 && worker.ended >= this.from && worker.ended <= this.to) this.cross(context, worker.ended, y, colours);
  }

  mainFunction(workers) {
    const busy = new Map();
    for (const worker of workers) for (const span of worker.spans) busy.set(span.fn, (busy.get(span.fn) || 0) + (span.end - span.begin) * span.share);
    return [...busy].reduce((most, one) => (one[1] > most[1] ? one : most), [0, 0])[0];
  }

  axis(context, width, view, colours) {
    const [marks, step] = steps(this.from, this.to, this.width / 90);
    context.fillStyle = colours.card;
    context.fillRect(0, 0, width, AXIS);
    context.fillStyle = colours.dim;
    context.strokeStyle = colours.line;
    context.textAlign = "center";
    context.globalAlpha = 0.6;
    for (const mark of marks) { context.beginPath(); context.moveTo(this.x(mark) + 0.5, AXIS - 4); context.lineTo(this.x(mark) + 0.5, view); context.stroke(); }
    context.globalAlpha = 1;
    for (const mark of marks) context.fillText(tick(mark, step), Math.min(width - 22, this.x(mark)), 14);
  }

  show(from, to) {
    const length = Math.min(this.end, Math.max(this.about.unit * 20, to - from));
    this.from = Math.min(Math.max(0, from), this.end - length);
    this.to = this.from + length;
    this.draw();
  }

  zoom(factor, x = this.label + this.width / 2) {
    const time = this.time(x);
    this.show(time - (time - this.from) * factor, time + (this.to - time) * factor);
  }

  pan(share) { const by = share * (this.to - this.from); this.show(this.from + by, this.to + by); }

  listen() {
    const area = this.scroller;
    area.addEventListener("scroll", () => this.draw());
    area.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) {
        event.preventDefault();
        this.zoom(1.0015 ** event.deltaY, event.clientX - area.getBoundingClientRect().left);
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { event.preventDefault(); this.pan(event.deltaX / this.width); }
    }, { passive: false });
    let held = null;
    area.addEventListener("pointerdown", (event) => { if (event.button === 0) { held = { x: event.clientX, y: event.clientY, from: this.from, top: area.scrollTop }; area.setPointerCapture(event.pointerId); area.classList.add("dragging"); } });
    area.addEventListener("pointermove", (event) => {
      if (!held) { this.point(event); return; }
      const by = ((held.x - event.clientX) / this.width) * (this.to - this.from);
      if (event.pointerType === "mouse") area.scrollTop = held.top + held.y - event.clientY;
      this.show(held.from + by, held.from + by + this.to - this.from);
    });
    for (const name of ["pointerup", "pointercancel"]) area.addEventListener(name, (event) => { if (held && Math.hypot(event.clientX - held.x, event.clientY - held.y) < 4) this.point(event); held = null; area.classList.remove("dragging"); });
    area.addEventListener("pointerleave", () => { $("tip").hidden = true; });
    area.addEventListener("keydown", (event) => {
      const keys = { "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1 / 0.6), "0": () => this.show(0, this.end), ArrowLeft: () => this.pan(-0.15), ArrowRight: () => this.pan(0.15), b: () => this.toggle() };
      if (keys[event.key] && !event.ctrlKey && !event.metaKey) { event.preventDefault(); keys[event.key](); }
    });
    $("zoom-in").addEventListener("click", () => this.zoom(0.6));
    $("zoom-out").addEventListener("click", () => this.zoom(1 / 0.6));
    $("zoom-all").addEventListener("click", () => this.show(0, this.end));
    $("bands").addEventListener("click", () => this.toggle());
  }

  toggle() { this.bands = !this.bands; this.scroller.scrollTop = 0; this.arrange(); }

  point(event) {
    const box = this.canvas.getBoundingClientRect(), tip = $("tip");
    const row = this.rows[Math.floor((event.clientY - box.top - AXIS + this.scroller.scrollTop) / this.height)];
    if (!row || row.title !== undefined || event.clientY - box.top < AXIS) { tip.hidden = true; return; }
    tip.textContent = row.workers.length > 1 ? this.describeBand(row.workers, this.time(event.clientX - box.left)) : this.describe(row.workers[0], event.clientX - box.left);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + height > window.innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
  }

  describe(worker, x) {
    const lines = [`${worker.module}:${worker.number}${worker.node ? ` on ${worker.node}` : ""}`];
    const time = this.time(x), near = this.time(x + 1.5) - time;
    const spans = worker.spans.filter((one) => one.begin - near <= time && time <= one.end + near);
    const span = spans.find((one) => one.failed) || spans[spans.length - 1];
    if (x < this.label) lines.push(`${plural(worker.spans.reduce((sum, one) => sum + one.calls, 0), "call")}`);
    else if (span) {
      const [call, error] = this.about.texts[span.text] || ["", ""];
      lines.push(`${this.about.functions[span.fn]}: ${span.calls > 1 ? `${plural(span.calls, "call")}${call ? `, with ${call}` : ""}` : call || "1 call"}`);
      lines.push(`${seconds(span.end - span.begin)} at ${at(span.begin)}${span.calls > 1 ? `, ${percent(span.share)} of it in calls` : ""}`);
      if (span.failed || span.cancelled) lines.push(error || [["failed", span.failed], ["cancelled", span.cancelled]].filter(([, count]) => count).map(([how, count]) => `${whole(count)} ${how}`).join(", "));
    } else if (time < worker.requested) lines.push("not requested yet");
    else if (worker.connected === null || time < worker.connected) lines.push(`starting${worker.connected === null ? "" : ` for ${seconds(worker.connected - worker.requested)}`}`);
    else if (worker.ended !== null && time > worker.ended) lines.push(`${HOW[worker.how]} at ${at(worker.ended)}`);
    else {
      const talk = worker.talks.find((one) => one.begin - near <= time && time <= one.end + near);
      lines.push(talk ? `talking: ${plural(talk.calls, "message")} in ${seconds(talk.end - talk.begin)}` : "waiting");
    }
    return lines.join("\n");
  }

  describeBand(workers, time) {
    const busy = workers.filter((worker) => worker.spans.some((span) => span.begin <= time && time <= span.end)).length;
    const talking = workers.filter((worker) => worker.talks.some((one) => one.begin <= time && time <= one.end)).length;
    const up = workers.filter((worker) => worker.connected !== null && worker.connected <= time && (worker.ended === null || time <= worker.ended)).length;
    return `${workers[0].module}:${workers[0].number}–${workers[workers.length - 1].number}\n${at(time)}: ${busy} in a call, ${talking ? `${talking} talking, ` : ""}${up} connected\npress b for one worker in a row`;
  }
}

function showLegend(workers) {
  const talks = workers.some((one) => one.talks.length), cancelled = workers.some(({ spans }) => spans.some((one) => one.cancelled));
  const add = (name, value, kind = "") => {
    const box = make("i", { class: kind });
    if (value) box.style.background = value;
    $("legend").append(make("li", {}, box, name));
  };
  data.timeline.functions.slice(0, 12).forEach((name, i) => add(name, PALETTE[i % PALETTE.length]));
  if (data.timeline.functions.length > 12) add(`${data.timeline.functions.length - 12} others`, "transparent");
  add("failed", "var(--bad)");
  if (cancelled) add("cancelled", "", "hollow");
  add("waiting", "var(--idle)");
  if (talks) add("talking", "var(--talk)");
  add("starting", "var(--start)");
}

async function start() {
  showOverview();
  showTables();
  showLog();
  showCharts();
  const skipped = data.skipped ? `; ${plural(data.skipped, "line")} of the recording could not be read` : "";
  $("footer").textContent = `Made by aioparcs report${skipped}.`;
  let timeline = null;
  if (!data.overview.workers) $("timeline").hidden = true;
  else if (typeof DecompressionStream === "undefined") $("note").textContent = "This browser is too old for the timeline.";
  else {
    timeline = new Timeline(await unpack(data.timeline.packed), data.timeline);
    const shown = timeline.workers.length;
    showLegend(timeline.workers);
    if (shown < data.overview.workers) $("note").textContent = `Only ${whole(shown)} of ${whole(data.overview.workers)} workers are shown. `;
    if (data.timeline.step > data.overview.duration / 2000) $("note").textContent += `Calls closer than ${seconds(data.timeline.step)} are drawn as one.`;
  }
  const redraw = () => { showCharts(); if (timeline) timeline.draw(); };
  window.addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.documentElement.dataset.ready = "true";
}

start();
