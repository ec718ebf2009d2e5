// The timeline: its buttons, its legend and its canvas.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { functionClass, useColours } from "../lib/colours.js";
import { moment, plural, whole } from "../lib/format.js";
import { clock, hasCalls, isRunning } from "../lib/job.js";
import { TimelineCanvas } from "./canvas.js";
import { Section } from "../parts/common.js";

const PERIOD = 250; // milliseconds between drawings at the live edge

function Tip({ tip }) {
  const box = useRef();
  useLayoutEffect(() => {
    if (!box.current) return;
    const { offsetWidth, offsetHeight, style } = box.current, isLow = tip.y + offsetHeight + 24 > innerHeight;
    style.left = `${Math.max(4, Math.min(innerWidth - offsetWidth - 8, tip.x + 14))}px`;
    style.top = `${isLow ? tip.y - offsetHeight - 10 : tip.y + 16}px`;
  });
  return tip?.text ? html`<div class="tip" id="tip" ref=${box} aria-hidden="true">${tip.text}</div>` : null;
}

function Legend({ functions }) {
  const shown = functions.map((one, i) => ({ ...one, i })).sort((a, b) => b.busy - a.busy).slice(0, 10).sort((a, b) => a.i - b.i);
  return html`<ul class="legend" aria-label="Colours">${shown.map(({ name, i }) => html`<li key=${i}><i class="key ${functionClass(i)}"></i>${name || "call"}</li>`)}
    <li><i class="key k-idle"></i>waiting</li><li><i class="key k-talk"></i>talking</li><li><i class="key k-start"></i>starting</li><li><i class="key k-bad"></i>failed</li><li><i class="key k-hollow"></i>cancelled</li><li><i class="cross" aria-hidden="true">×</i>lost</li></ul>`;
}

/** A failed call that was clicked. */
function FailedCall({ call, job, id, close }) {
  const dialog = useRef(), { worker, fn, error, failed, calls, begin, end } = call, module = job.workers.get(worker)?.module ?? "worker";
  const traceback = job.failures.findLast((row) => row[4] === worker && row[2] === call.call && row[3] === error)?.[5];
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} class="wide" aria-labelledby="failed-call" onClose=${close}><h2 id="failed-call">${job.functions[fn]?.name || "call"} failed in ${module}:${worker}</h2>
    <p class="note">${moment(begin)} to ${moment(end)}${calls > 1 && `: ${plural(calls, "call")}, of which ${whole(failed)} failed`}</p>
    ${call.call && html`<pre class="call" tabindex="0">${call.call}</pre>`}<pre class="trace error" tabindex="0">${[traceback, error || "These calls were too short to be listed one by one."].filter(Boolean).join("\n")}</pre>
    ${error && !traceback && html`<p class="note">Its traceback is not known: only those of the last failed calls are.</p>`}
    <div class="buttons"><a href="#/job/${encodeURIComponent(id)}/worker/${worker}">Open the worker</a><button type="button" class="main" autofocus onClick=${() => dialog.current.close()}>Close</button></div></dialog>`;
}

export function Timeline({ job, id, isLive, open }) {
  const scroller = useRef(), view = useRef(null), colours = useColours();
  const [tip, setTip] = useState(null), [failed, inspect] = useState(null);
  const [, redraw] = useState(0);
  const running = isRunning(job) && isLive;
  useEffect(() => {
    const changed = (next) => (next ? setTip(next.text ? next : null) : redraw((count) => count + 1));
    view.current = new TimelineCanvas(scroller.current, changed, open, inspect);
    view.current.update(job, clock(job, isLive));
    redraw((count) => count + 1);
    return () => view.current.destroy();
  }, []);
  useEffect(() => view.current.update(job, clock(job, isLive)));
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => document.hidden || !view.current.isFollowing || view.current.update(job, clock(job)), PERIOD);
    return () => clearInterval(timer);
  }, [running, job]);
  useEffect(() => view.current.request(), [colours]);
  const act = (name, ...values) => () => view.current[name](...values);
  const one = view.current, isBanded = one ? one.isBanded : false, isFollowing = one ? one.isFollowing : true;
  const tools = html`<div class="tools" role="toolbar" aria-label="Timeline">
    ${running && html`<button type="button" id="follow" aria-pressed=${String(isFollowing)} onClick=${act("follow")} title="Follow the live edge (f)">Live</button>`}
    <button type="button" id="bands" aria-pressed=${String(isBanded)} onClick=${act("toggleBands")} title="Several workers in a row (b)">Bands</button>
    <button type="button" id="zoom-out" onClick=${act("zoom", 1.5)} title="Zoom out (-)" aria-label="Zoom out">−</button>
    <button type="button" id="zoom-in" onClick=${act("zoom", 1 / 1.5)} title="Zoom in (+)" aria-label="Zoom in">+</button>
    <button type="button" id="zoom-all" onClick=${act("all")} title="The whole run (0)">All</button></div>`;
  return html`<${Section} id="timeline" title="Timeline" tools=${tools} extra="wide">
    <${Legend} functions=${job.functions} />
    <div class="scroller" id="scroller" ref=${scroller} tabindex="0" role="img" aria-describedby="timeline-help" aria-label="Timeline"><canvas id="rows"></canvas><div></div></div>
    <p class="hint" id="timeline-help">Drag to move, Ctrl+wheel to zoom, click for a worker, or for the error of a failed call. Keys: + − ← → ↑ ↓, 0 the whole run, f follow, b bands.</p>
    ${!hasCalls(job) && html`<p class="hint">The calls of this job are not recorded: <code>aioparcs run --ui</code>, or <code>PARCS_UI=1</code> where it starts, shows them.</p>`}
    <${Tip} tip=${tip} />${failed && html`<${FailedCall} call=${failed} job=${job} id=${id} close=${() => inspect(null)} />`}<//>`;
}
