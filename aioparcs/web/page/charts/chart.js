// Charts over time on small canvases, with what they show at the mouse, or at the end, in words.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { canvasOf } from "../lib/canvas.js";
import { colour, useColours } from "../lib/colours.js";
import { compact, moment, steps, tick } from "../lib/format.js";

const HEIGHT = 120, LEFT = 42, RIGHT = 8, TOP = 8, BOTTOM = 20;

/** Return where times and values of a chart are on its canvas. */
function scaleOf(times, columns, width) {
  let most = 0;
  for (const column of columns) for (const value of column) if (value > most) most = value;
  const [first, last] = [times[0] ?? 0, times.at(-1) ?? 1], from = times.length > 1 && first < last * 0.1 ? 0 : first, to = Math.max(last, from + 1), top = most > 0 ? most * 1.1 : 1;
  return {
    from, to, top, x: (time) => LEFT + ((time - from) / (to - from)) * (width - LEFT - RIGHT),
    y: (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP),
    time: (x) => from + ((x - LEFT) / (width - LEFT - RIGHT)) * (to - from),
  };
}

function drawAxes(context, { from, to, top, x, y }, width) {
  context.fillStyle = colour("dim");
  context.strokeStyle = colour("line");
  context.textAlign = "right";
  for (const mark of steps(0, top, 2.5, false)[0]) {
    context.strokeRect(LEFT, Math.round(y(mark)) + 0.5, width - LEFT - RIGHT, 0);
    context.fillText(compact(mark), LEFT - 6, y(mark) + 4);
  }
  const [marks, step] = steps(from, to, Math.max(2, width / 90));
  context.textAlign = "center";
  for (const mark of marks) {
    const text = tick(mark, step);
    context.fillText(text, Math.min(width - 1 - context.measureText(text).width / 2, x(mark)), HEIGHT - 5);
  }
}

function drawSeries(context, { x, y }, times, values, { tint, isFilled, isStepped }) {
  const path = new Path2D(), base = y(0);
  let last = null;
  times.forEach((time, i) => {
    if (values[i] === null) return;
    const [here, high] = [x(time), y(values[i])];
    if (last === null) path.moveTo(here, high);
    else if (isStepped) path.lineTo(here, last);
    path.lineTo(here, high);
    last = high;
  });
  if (last === null) return;
  context.strokeStyle = context.fillStyle = colour(tint);
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.stroke(path);
  context.lineWidth = 1;
  if (!isFilled) return;
  path.lineTo(x(times.at(-1)), base);
  path.lineTo(x(times[0]), base);
  context.globalAlpha = 0.16;
  context.fill(path);
  context.globalAlpha = 1;
}

function drawCursor(context, { x, y }, times, columns, series, at) {
  context.strokeStyle = colour("dim");
  context.setLineDash([3, 3]);
  context.strokeRect(Math.round(x(times[at])) + 0.5, TOP, 0, HEIGHT - BOTTOM - TOP);
  context.setLineDash([]);
  columns.forEach((values, i) => {
    if (values[at] === null) return;
    context.fillStyle = colour(series[i].tint);
    context.beginPath();
    context.arc(x(times[at]), y(values[at]), 2.5, 0, 7);
    context.fill();
  });
}

function nearest(times, time) {
  let best = -1;
  times.forEach((one, i) => { if (best < 0 || Math.abs(one - time) < Math.abs(times[best] - time)) best = i; });
  return best;
}

/**
 * A chart; `data` is [times, values, ...], `series` are {name, tint, show(value), isFilled, isStepped}.
 *
 * `cursor` is the time that is looked at in several charts, null for the end; `setCursor` sets it.
 */
export function Chart({ title, series, data, cursor, setCursor }) {
  const box = useRef(), [width, setWidth] = useState(0), colours = useColours();
  const [times, ...columns] = data, at = cursor === null ? times.length - 1 : nearest(times, cursor);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => box.current && setWidth(box.current.clientWidth));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (width < 1) return;
    const context = canvasOf(box.current.firstChild, width, HEIGHT), scale = scaleOf(times, columns, width);
    drawAxes(context, scale, width);
    series.forEach((one, i) => drawSeries(context, scale, times, columns[i], one));
    if (cursor !== null && at >= 0) drawCursor(context, scale, times, columns, series, at);
  }, [data, width, colours, cursor]);
  const moved = (event) => setCursor(scaleOf(times, columns, width).time(event.clientX - box.current.getBoundingClientRect().left));
  const shown = series.map((one, i) => ({ ...one, text: at >= 0 && columns[i][at] !== null ? one.show(columns[i][at]) : "–" }));
  return html`<figure class="chart"><figcaption><span class="chart-title">${title}</span>${shown.map((one) => html`<span key=${one.name} class="chart-value"><i class="key k-${one.tint}" aria-hidden="true"></i>${one.name} <b>${one.text}</b></span>`)}
      ${cursor !== null && at >= 0 && html`<span class="note">at ${moment(times[at])}</span>`}</figcaption>
    <div class="plot" ref=${box} role="img" aria-label="${title} over time; now ${shown.map((one) => `${one.name} ${one.text}`).join(", ")}" onPointerMove=${moved} onPointerLeave=${() => setCursor(null)}><canvas></canvas></div></figure>`;
}

/** Charts side by side, which share the time at the mouse; a chart is the properties of `Chart`. */
export function Charts({ charts }) {
  const [cursor, setCursor] = useState(null);
  return html`<div class="charts">${charts.map((one) => html`<${Chart} key=${one.title} ...${one} cursor=${cursor} setCursor=${setCursor} />`)}</div>`;
}

/** Return the columns of rows. */
export const columnsOf = (rows, count) => Array.from({ length: count }, (_, i) => rows.map((row) => row[i] ?? null));
