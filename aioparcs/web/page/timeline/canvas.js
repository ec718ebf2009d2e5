// The timeline's canvas: which part of the run is seen, its rows, and the mouse, wheel and keys that move it.

import { canvasOf } from "../lib/canvas.js";
import { isRunning } from "../lib/job.js";
import { moment, plural, steps, tick } from "../lib/format.js";
import { colours, drawBand, drawWorker } from "./rows.js";
import { describe, failedAt } from "./tip.js";

const LABEL = 116, AXIS = 22, MANY = 150, BANDS = 60;
const SHORTEST = 0.002; // seconds that are seen at least

export class TimelineCanvas {
  /** Draw into an element `scroller`; `changed` is called when what is seen has, `open` and `inspect` with the worker or failed call that is clicked. */
  constructor(scroller, changed, open, inspect) {
    [this.canvas, this.spacer] = scroller.children;
    Object.assign(this, { scroller, changed, open, inspect, job: null, now: 0, rows: [], bands: null, length: null, end: null, frame: 0, shape: "", isSeen: true, drawn: 0, cost: 0, later: 0 });
    this.numbers = new Map();
    this.stops = listen(this);
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
    for (const stop of this.stops) stop();
  }

  /** Show a job as it is now; `now` is its time. */
  update(job, now) {
    Object.assign(this, { job, now: Math.max(now, 1e-3) });
    this.numbers = new Map(job.functions.map((one, i) => [one.name, i]));
    const shape = `${job.workers.size} ${this.isBanded}`;
    if (shape !== this.shape || !this.rows.length) this.arrange(shape);
    this.advance();
  }

  get isBanded() { return this.bands ?? (this.job?.workers.size ?? 0) > MANY; }
  get isFollowing() { return this.end === null; }
  get to() { return this.end ?? this.now; }
  get from() { return Math.max(0, this.to - (this.length ?? this.to)); }
  get left() { return this.scroller.clientWidth < 500 ? 68 : LABEL; }
  get width() { return Math.max(50, this.scroller.clientWidth - this.left - 2); }
  get height() { return this.isBanded || (this.job?.workers.size ?? 0) > 40 ? 15 : 20; }

  scale() {
    const { from, to, left, width } = this, factor = width / Math.max(1e-9, to - from);
    return { from, to, left, right: left + width, x: (time) => left + (time - from) * factor };
  }

  time(x) { return this.from + ((x - this.left) / this.width) * (this.to - this.from); }

  toggleBands() {
    this.bands = !this.isBanded;
    this.arrange();
    this.changed();
  }

  arrange(shape = "") {
    this.shape = shape;
    this.rows = [];
    const order = new Map(); // modules as they were requested
    for (const { module } of this.job.workers.values()) if (!order.has(module)) order.set(module, order.size);
    const workers = [...this.job.workers.values()].sort((one, two) => order.get(one.module) - order.get(two.module) || compare(one.node || "", two.node || "") || one.number - two.number);
    const size = this.isBanded ? Math.max(2, Math.ceil(workers.length / BANDS)) : 1;
    const hasNodes = new Set(workers.map((one) => one.node)).size > 1;
    let title = null;
    for (const { module, node, number } of workers) {
      const own = hasNodes && node ? `${module} on ${node}` : module;
      if (own !== title) this.rows.push({ title: (title = own) });
      const last = this.rows.at(-1);
      if (last.numbers && last.numbers.length < size) last.numbers.push(number);
      else this.rows.push({ numbers: [number] });
    }
    this.request();
  }

  request() {
    if (this.isSeen) this.frame ||= requestAnimationFrame(() => { this.frame = 0; if (this.job) this.draw(); });
  }

  /** Draw again for what has happened since: it takes a tenth of the time, and is no more than a second late. */
  advance() {
    clearTimeout(this.later);
    const wait = this.drawn + Math.min(1000, 10 * this.cost) - performance.now();
    if (wait <= 0) this.request();
    else this.later = setTimeout(() => this.request(), wait);
  }

  draw() {
    const begin = performance.now();
    this.drawAll();
    this.drawn = performance.now();
    this.cost = this.drawn - begin;
  }

  drawAll() {
    const { height, scroller, rows } = this, full = rows.length * height + AXIS + 4;
    const view = Math.min(full, innerWidth < 600 ? 360 : 480), top = scroller.scrollTop;
    scroller.style.height = `${view + 2}px`;
    this.spacer.style.height = `${full - view}px`;
    const context = canvasOf(this.canvas, scroller.clientWidth, view), tints = colours(), scale = this.scale();
    context.save();
    context.beginPath();
    context.rect(0, AXIS, scroller.clientWidth, view - AXIS);
    context.clip();
    for (let i = Math.max(0, Math.floor(top / height)); i < rows.length && AXIS + i * height - top < view; i++) this.drawRow(context, scale, rows[i], AXIS + i * height - top, tints);
    context.restore();
    this.drawAxis(context, scale, view, tints);
    scroller.setAttribute("aria-label", `Timeline of ${plural(this.job.workers.size, "worker")}, from ${moment(this.from)} to ${moment(this.to)}`);
  }

  entry(number) { return { worker: this.job.workers.get(number), spans: this.job.spans.get(number) || [], talks: this.job.talks.get(number) || [], now: this.now }; }

  drawRow(context, scale, { title, numbers }, y, tints) {
    const { height, left } = this;
    context.textAlign = "left";
    if (title !== undefined) {
      context.fillStyle = tints.soft;
      context.fillRect(0, y, this.scroller.clientWidth, height);
      context.fillStyle = tints.text;
      context.fillText(title, 8, y + height - (height > 15 ? 6 : 4), this.scroller.clientWidth - 16);
      return;
    }
    context.fillStyle = tints.dim;
    context.fillText(numbers.length > 1 ? `${numbers[0]}–${numbers.at(-1)}` : `${numbers[0]}`, 14, y + height - (height > 15 ? 6 : 4), left - 20);
    context.save();
    context.beginPath();
    context.rect(left, y, this.width, height);
    context.clip();
    if (numbers.length > 1) drawBand(context, scale, numbers.map((one) => this.entry(one)), y, height, tints, this.numbers);
    else drawWorker(context, scale, this.entry(numbers[0]), y, height, tints, this.numbers);
    context.restore();
  }

  drawAxis(context, scale, view, tints) {
    const [marks, step] = steps(scale.from, scale.to, this.width / 90);
    context.fillStyle = tints.card;
    context.fillRect(0, 0, this.scroller.clientWidth, AXIS);
    context.strokeStyle = tints.line;
    context.globalAlpha = 0.6;
    for (const mark of marks) {
      context.beginPath();
      context.moveTo(Math.round(scale.x(mark)) + 0.5, AXIS - 4);
      context.lineTo(Math.round(scale.x(mark)) + 0.5, view);
      context.stroke();
    }
    context.globalAlpha = 1;
    context.fillStyle = tints.dim;
    context.textAlign = "center";
    for (const mark of marks) {
      const text = tick(mark, step);
      context.fillText(text, Math.min(scale.right - context.measureText(text).width / 2, scale.x(mark)), 14);
    }
  }

  /** Show a part of the run; one that reaches the end goes on with it. */
  show(from, to) {
    const length = Math.min(this.now, Math.max(SHORTEST, to - from)), reached = from + length >= this.now - length * 0.002;
    this.length = length >= this.now * 0.999 && reached ? null : length;
    this.end = reached ? null : Math.max(length, from + length);
    this.request();
    this.changed();
  }

  /** Zoom around a place; without one around the live edge while that is followed, else around the middle. */
  zoom(factor, x = null) {
    const { from, to } = this, span = to - from;
    if (x === null && this.isFollowing && isRunning(this.job)) return this.show(Math.max(0, to - span * factor), to);
    const time = this.time(x ?? this.left + this.width / 2);
    return this.show(Math.max(0, time - (time - from) * factor), time + (to - time) * factor);
  }

  pan(share) {
    const { from, to } = this, by = Math.max(-from, share * (to - from));
    this.show(from + by, to + by);
  }

  all() {
    Object.assign(this, { length: null, end: null });
    this.request();
    this.changed();
  }

  follow() {
    this.end = null;
    this.request();
    this.changed();
  }

  /** Return the row at a place of the canvas, and what to say of it. */
  at(x, y) {
    const row = this.rows[Math.floor((y - AXIS + this.scroller.scrollTop) / this.height)];
    if (y < AXIS || !row?.numbers) return null;
    const time = x >= this.left ? this.time(x) : null, entries = row.numbers.map((one) => this.entry(one)), near = (this.to - this.from) / this.width;
    return { numbers: row.numbers, failed: failedAt(entries, time, 3 * near), text: describe(entries, time, near, this.job.functions) };
  }
}

const compare = (one, two) => (one < two ? -1 : one > two ? 1 : 0);

const KEYS = {
  "+": (view) => view.zoom(1 / 1.5), "=": (view) => view.zoom(1 / 1.5), "-": (view) => view.zoom(1.5), 0: (view) => view.all(), b: (view) => view.toggleBands(), f: (view) => view.follow(),
  ArrowLeft: (view) => view.pan(-0.15), ArrowRight: (view) => view.pan(0.15), ArrowUp: (view) => view.scroller.scrollBy(0, -60), ArrowDown: (view) => view.scroller.scrollBy(0, 60),
};

/** Listen to what moves a timeline; return what ends that. */
function listen(view) {
  const { scroller } = view;
  const place = (event) => {
    const box = scroller.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const drag = dragging(view, place);
  const wheel = (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) view.zoom(Math.exp(event.deltaY / 400), place(event)[0]);
    else view.pan((event.deltaX || event.deltaY) / view.width);
  };
  const key = (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(view);
  };
  const observer = new ResizeObserver(() => view.request());
  observer.observe(scroller.parentNode);
  const sight = new IntersectionObserver(([entry]) => {
    view.isSeen = entry.isIntersecting;
    view.request();
  });
  sight.observe(scroller);
  const wanted = { scroll: () => view.request(), wheel, keydown: key, ...drag };
  for (const [name, listener] of Object.entries(wanted)) scroller.addEventListener(name, listener, { passive: false });
  return [() => observer.disconnect(), () => sight.disconnect(), ...Object.entries(wanted).map(([name, listener]) => () => scroller.removeEventListener(name, listener))];
}

/** Return listeners that move the view with the mouse or a finger, show the tip, and open a worker by a click. */
function dragging(view, place) {
  const { scroller } = view;
  let start = null;
  const end = (event) => {
    const was = start;
    start = null;
    scroller.classList.remove("dragging");
    const found = was && !was.moved && event.type === "pointerup" ? view.at(...place(event)) : null;
    if (found?.failed) view.inspect({ worker: found.numbers[0], ...found.failed });
    else if (found?.numbers.length === 1) view.open(found.numbers[0]);
  };
  return {
    pointerdown: (event) => {
      if (event.button !== 0) return;
      start = { x: event.clientX, y: event.clientY, from: view.from, to: view.to, top: scroller.scrollTop, moved: false };
      scroller.setPointerCapture(event.pointerId);
    },
    pointermove: (event) => {
      if (!start) return view.changed({ ...view.at(...place(event)), x: event.clientX, y: event.clientY });
      const [x, y] = [event.clientX - start.x, event.clientY - start.y];
      if (!start.moved && Math.abs(x) + Math.abs(y) < 5) return undefined;
      start.moved = true;
      scroller.classList.add("dragging");
      const by = Math.max(-start.from, (-x / view.width) * (start.to - start.from));
      scroller.scrollTop = start.top - y;
      if (Math.abs(x) > 2) view.show(start.from + by, start.to + by);
      return undefined;
    },
    pointerup: end, pointercancel: end, pointerleave: () => view.changed({}),
  };
}
