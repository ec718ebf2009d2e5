// What one row of the timeline draws: a worker, or a band of several.

import { colour, ofFunction } from "../lib/colours.js";

const LEVELS = 12; // shades of a band
const NAMES = ["idle", "talk", "start", "bad", "text", "dim", "line", "soft", "card"];

export const colours = () => Object.fromEntries(NAMES.map((name) => [name, colour(name)]));

/** Return the index of the first span that may be seen from a time on: spans are sorted by their end, nearly. */
function firstSeen(spans, from) {
  let low = 0, high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle].end < from) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 8);
}

const seen = (talks, { from, to }) => talks.filter((one) => one.end >= from && one.begin <= to);

function bar(context, scale, begin, end, y, height) {
  const from = Math.max(scale.left - 2, scale.x(begin)), to = Math.min(scale.right + 2, scale.x(end));
  if (to < scale.left - 1 || from > scale.right) return;
  context.fillRect(from, y, Math.max(1, to - from - (to - from > 4 ? 0.6 : 0)), height);
}

export function drawWorker(context, scale, { worker, spans, talks, now }, y, height, tints, numbers) {
  const gone = worker.ended ?? now, ready = worker.connected ?? gone;
  context.fillStyle = tints.start;
  bar(context, scale, worker.requested, ready, y + height / 2 - 1, 2);
  context.fillStyle = tints.idle;
  if (worker.connected !== null) bar(context, scale, ready, gone, y + height / 4, height / 2);
  context.fillStyle = tints.talk;
  for (const talk of seen(talks, scale)) bar(context, scale, talk.begin, talk.end, y + height / 4, height / 2);
  let reached = -Infinity;
  for (let i = firstSeen(spans, scale.from); i < spans.length; i++) {
    const span = spans[i];
    if (span.begin > scale.to) break;
    const to = scale.x(span.end);
    if (to - reached < 0.5 && !span.failed) continue; // the pixel is drawn already
    reached = to;
    context.globalAlpha = span.failed ? 1 : Math.max(0.3, share(span));
    context.fillStyle = span.failed ? tints.bad : ofFunction(span.fn);
    bar(context, scale, span.begin, span.end, y + (span.failed ? 1 : 2), height - (span.failed ? 2 : 4));
    if (span.cancelled === span.calls) drawHollow(context, scale, span, y, height, tints);
  }
  if (worker.current) drawCurrent(context, scale, worker.current, now, y, height, numbers);
  context.globalAlpha = 1;
  if (worker.state === "lost") drawCross(context, scale, gone, y, height, tints);
}

/** Leave only the edge of a call that was cancelled, where there is room for one. */
function drawHollow(context, scale, { begin, end }, y, height, tints) {
  const from = Math.max(scale.left, scale.x(begin) + 1.5), to = Math.min(scale.right, scale.x(end) - 2.1);
  context.globalAlpha = 1;
  context.fillStyle = tints.card;
  if (to > from) context.fillRect(from, y + 3.5, to - from, height - 7);
}

/** Draw the call that runs now: paler, with an edge, since its end is not known. */
function drawCurrent(context, scale, current, now, y, height, numbers) {
  context.fillStyle = context.strokeStyle = ofFunction(numbers.get(current.function) ?? 0);
  context.globalAlpha = 0.45;
  bar(context, scale, current.begin, now, y + 2, height - 4);
  const end = scale.x(now);
  if (end >= scale.left && end <= scale.right + 1) {
    context.globalAlpha = 1;
    context.fillRect(end - 1.5, y + 2, 1.5, height - 4);
  }
}

export const share = (span) => (span.end > span.begin ? Math.min(1, span.busy / (span.end - span.begin)) : 1);

export function drawCross(context, scale, time, y, height, tints) {
  const x = Math.min(scale.x(time), scale.right - 5), middle = y + height / 2;
  if (x < scale.left) return;
  context.strokeStyle = tints.bad;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x - 4, middle - 4);
  context.lineTo(x + 4, middle + 4);
  context.moveTo(x - 4, middle + 4);
  context.lineTo(x + 4, middle - 4);
  context.stroke();
  context.lineWidth = 1;
}

function adder(values, scale) {
  return (begin, end, amount) => {
    const from = scale.x(begin) - scale.left, to = scale.x(end) - scale.left, last = Math.min(values.length, to);
    for (let i = Math.max(0, Math.floor(from)); i < last; i++) values[i] += amount * Math.min(1, Math.min(i + 1, to) - Math.max(i, from));
  };
}

/** Draw several workers as one band, stronger where more of them are in a call, in the colour of their main function. */
export function drawBand(context, scale, entries, y, height, tints, numbers) {
  const count = Math.ceil(scale.right - scale.left), busy = new Float64Array(count), up = new Float64Array(count), talking = new Float64Array(count), failed = new Uint8Array(count);
  const addBusy = adder(busy, scale), addUp = adder(up, scale), addTalk = adder(talking, scale), weights = new Map();
  for (const { worker, spans, talks, now } of entries) {
    if (worker.connected !== null) addUp(worker.connected, worker.ended ?? now, 1);
    for (const talk of seen(talks, scale)) addTalk(talk.begin, talk.end, 1);
    for (let i = firstSeen(spans, scale.from); i < spans.length; i++) {
      const span = spans[i];
      if (span.begin > scale.to) break;
      addBusy(span.begin, span.end, share(span));
      weights.set(span.fn, (weights.get(span.fn) || 0) + span.busy);
      if (span.failed) failed[Math.min(count - 1, Math.max(0, Math.floor(scale.x(span.begin) - scale.left)))] = 1;
    }
    if (worker.current) addBusy(worker.current.begin, now, 1);
  }
  const main = [...weights].reduce((most, one) => (one[1] > most[1] ? one : most), [0, -1])[0];
  paintBand(context, scale, { busy, up, talking, failed }, entries.length, y, height, { ...tints, main: ofFunction(main) });
  for (const { worker } of entries) if (worker.state === "lost") drawCross(context, scale, worker.ended, y, height, tints);
}

/** Paint the runs of equal pixels of a band: a rectangle for each pixel would be slow. */
function paintBand(context, scale, { busy, up, talking, failed }, workers, y, height, tints) {
  const shade = (value) => Math.round(LEVELS * Math.min(1, value / workers));
  const level = (i) => (busy[i] > 0 ? 1 + shade(busy[i]) : talking[i] > 0 ? -2 - shade(talking[i]) : up[i] > 0 ? 0 : -1);
  for (let i = 0, end; i < up.length; i = end) {
    const here = level(i);
    for (end = i + 1; end < up.length && level(end) === here; ) end++;
    if (here === -1) continue;
    context.fillStyle = tints.idle;
    context.fillRect(scale.left + i, y + 1, end - i, height - 2);
    if (!here) continue;
    context.fillStyle = here > 0 ? tints.main : tints.talk;
    context.globalAlpha = 0.12 + (0.88 * (here > 0 ? here - 1 : -here - 2)) / LEVELS;
    context.fillRect(scale.left + i, y + 1, end - i, height - 2);
    context.globalAlpha = 1;
  }
  context.fillStyle = tints.bad;
  for (let i = 0; i < failed.length; i++) if (failed[i]) context.fillRect(scale.left + i, y + 1, 1.5, height - 2);
}
