// The log: searched, filtered, and only the lines that are seen are in the document.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { plural } from "../lib/format.js";
import { Section, marked } from "./common.js";
import { useWindow } from "./table.js";

const LINE = 19;
const LEVELS = ["output", "notice", "warning"];
const LEVEL_NAMES = ["All lines", "Notices and warnings", "Warnings"];

const origin = (module, worker) => (worker === null ? module : `${module}:${worker}`);

function filtered(log, { word, worker, level }) {
  return log.filter(([, , module, number, text, kind]) =>
    kind >= level && (worker === "" || String(number) === worker) &&
    (!word || text.toLowerCase().includes(word) || origin(module, number).toLowerCase().includes(word)));
}

function Line({ row, word, isChosen, choose, job }) {
  const [number, time, module, worker, text, level] = row;
  const name = origin(module, worker);
  return html`<div role="listitem" class="line ${LEVELS[level]} ${isChosen ? "chosen" : ""}" onClick=${() => choose(isChosen ? null : row)} key=${number}>
    <span class="time">${time.toFixed(2).padStart(9)}</span> ${job && worker !== null ? html`<a class="origin" href="#/job/${encodeURIComponent(job)}/worker/${worker}" tabindex="-1">${name}</a>` : html`<span class="origin">${name}</span>`} <span class="text">${marked(text, word)}</span></div>`;
}

function Lines({ rows, word, job, chosen, choose }) {
  const { box, scrolled, first, last } = useWindow(rows.length, LINE, true);
  const isFollowing = useRef(true), reached = useRef(0); // where the end was when it was scrolled to
  const [isAway, setAway] = useState(false);
  useEffect(() => {
    if (isFollowing.current && box.current) toEnd();
  });
  const toEnd = () => {
    box.current.scrollTop = box.current.scrollHeight;
    reached.current = box.current.scrollTop;
  };
  const moved = () => {
    const one = box.current;
    if (!one) return; // the view has changed between the scroll and its event
    const isAtEnd = one.scrollHeight - one.scrollTop - one.clientHeight < 2 * LINE;
    isFollowing.current = isAtEnd || (isFollowing.current && one.scrollTop >= Math.min(reached.current, one.scrollHeight - one.clientHeight) - 1);
    setAway(!isFollowing.current);
    scrolled();
  };
  const end = () => {
    isFollowing.current = true;
    toEnd();
  };
  return html`<div class="log-box"><div class="lines" ref=${box} onScroll=${moved} tabindex="0" role="region" aria-label="Lines of the log">
    <div class="lines-all" role="list" style=${{ height: `${rows.length * LINE}px` }}><div class="lines-seen" role="none" style=${{ transform: `translateY(${first * LINE}px)` }}>
      ${rows.slice(first, last).map((row) => html`<${Line} key=${row[0]} row=${row} word=${word} job=${job} isChosen=${chosen?.[0] === row[0]} choose=${choose} />`)}</div></div></div>
    ${isAway && html`<button type="button" class="to-end" onClick=${end}>Follow the end</button>`}</div>`;
}

/** The log of a job, or of one worker (then without its filter). */
export function Log({ log, workers = null, job = null, isBounded = false }) {
  const [filter, setFilter] = useState({ word: "", worker: "", level: 0 });
  const [chosen, choose] = useState(null);
  const rows = useMemo(() => filtered(log, filter), [log, filter]);
  const set = (change) => setFilter((old) => ({ ...old, ...change }));
  const isFiltered = filter.word || filter.worker !== "" || filter.level > 0;
  const tools = html`<div class="filters">
    <label>Search <input type="search" id="log-search" autocomplete="off" spellcheck=${false} onInput=${(event) => set({ word: event.target.value.toLowerCase() })} /></label>
    ${workers && html`<label>Worker <input type="number" id="log-worker" min="0" inputmode="numeric" placeholder="all" onInput=${(event) => set({ worker: event.target.value })} /></label>`}
    <label>Level <select id="log-level" onChange=${(event) => set({ level: Number(event.target.value) })}>${LEVEL_NAMES.map((name, i) => html`<option value=${i}>${name}</option>`)}</select></label></div>`;
  const note = html`<span role="status" id="log-found">${isFiltered ? `${plural(rows.length, "line")} found` : `${isBounded && log.length >= 2000 ? "the last " : ""}${plural(log.length, "line")}`}</span>`;
  return html`<${Section} id="log" title="Log" tools=${tools} note=${note}>
    ${rows.length ? html`<${Lines} rows=${rows} word=${filter.word} job=${job} chosen=${chosen} choose=${choose} />` : html`<p class="none">${isFiltered ? "No line is like that." : "Nothing was printed."}</p>`}
    ${chosen && html`<pre class="whole-line" tabindex="0">${chosen[4]}</pre>`}<//>`;
}
