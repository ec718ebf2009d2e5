// All jobs, running and past.

import { html, useMemo, useState } from "../vendor/htm-preact.js";
import { jobsUrl } from "../lib/api.js";
import { useFeed, useSeconds } from "../lib/feed.js";
import { ago, date, duration, plural, rate, running, whole } from "../lib/format.js";
import { useTitle } from "../lib/title.js";
import { Progress, State } from "../parts/common.js";
import { Connection, Refused, Waiting } from "./refused.js";

const FILTERS = ["all", "running", "done", "failed", "stopped", "killed"];

function Items({ items, state, program }) {
  const of = items.total === null ? "" : ` / ${whole(items.total)}`;
  return html`<${Progress} ...${items} isOver=${state !== "running"} label="Items of ${program}" />
    <span class="small-note">${whole(items.done)}${of}${items.failed ? html`, <b class="bad">${whole(items.failed)} failed</b>` : ""}</span>`;
}

function Row({ job, received }) {
  const { id, program, engine, state, started, workers, items } = job, isRunning = state === "running";
  const seconds = isRunning ? job.seconds + (performance.now() - received) / 1000 : job.seconds, why = job.error || (isRunning ? job.waits[0] : "") || "";
  return html`<tr class="job"><td class="name"><a href="#/job/${encodeURIComponent(id)}">${program}</a><small><code>${id}</code> · ${engine === "swarm" ? "Swarm" : "this machine"}</small></td>
    <td class="state-cell"><${State} state=${state} /></td>
    <td class="number" data-name="Started" title=${date(started)}>${ago(started)}</td>
    <td class="number" data-name=${isRunning ? "Runs for" : "Took"}>${isRunning ? running(seconds) : duration(seconds)}</td>
    <td class="items">${!items.total && !items.done ? "–" : html`<${Items} items=${items} state=${state} program=${program} />`}</td>
    <td class="number" data-name="Rate">${rate(job.rate)}</td>
    <td class="number" data-name="Left">${isRunning && job.left !== null ? duration(job.left) : "–"}</td>
    <td class="number" data-name="Workers">${isRunning ? `${whole(workers.up)} / ${whole(workers.requested)}` : whole(workers.requested)}${workers.lost ? html` <b class="bad">${whole(workers.lost)} lost</b>` : ""}</td>
    <td class="why ${job.error && state !== "stopped" ? "bad" : ""}">${why && html`<span title=${why}>${why}</span>`}</td></tr>`;
}

function Filters({ jobs, filter, set, word, setWord }) {
  return html`<div class="filters"><label>Search <input type="search" id="job-search" autocomplete="off" value=${word} onInput=${(event) => setWord(event.target.value)} /></label>
    <div class="segments" role="group" aria-label="State">${FILTERS.map((name) => html`<button type="button" key=${name} aria-pressed=${String(filter === name)} onClick=${() => set(name)}>${name} <span class="count">${name === "all" ? jobs.length : jobs.filter((one) => one.state === name).length}</span></button>`)}</div></div>`;
}

const runningFirst = (one, two) => Number(two.state === "running") - Number(one.state === "running");
const merge = (_, message) => ({ ...message, received: performance.now() });

export function Jobs() {
  const { data, status, reason } = useFeed(jobsUrl, "jobs", merge);
  const [filter, set] = useState("all"), [word, setWord] = useState("");
  const count = data ? data.jobs.filter((one) => one.state === "running").length : 0;
  useTitle(count ? `${count} running` : "Jobs", Boolean(data));
  useSeconds(count > 0 && status === "live");
  const shown = useMemo(() => (data ? [...data.jobs].sort(runningFirst).filter((one) => (filter === "all" || one.state === filter) && `${one.program} ${one.id}`.toLowerCase().includes(word.toLowerCase())) : []), [data, filter, word]);
  if (status === "refused") return html`<${Refused} reason=${reason} />`;
  if (!data) return html`<${Waiting} status=${status} reason=${reason} />`;
  return html`<div class="title"><div class="names"><h1>Jobs</h1><p class="meta"><${Connection} status=${status} reason=${reason} /><span>${plural(count, "job runs", "jobs run")} now, ${whole(data.jobs.length - count)} in the history</span></p></div>
      <${Filters} jobs=${data.jobs} filter=${filter} set=${set} word=${word} setWord=${setWord} /></div>
    <section class="card" aria-label="Jobs">${shown.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Table of jobs"><table class="jobs"><thead><tr>
        <th scope="col">Program</th><th scope="col">State</th><th scope="col" class="number">Started</th><th scope="col" class="number">Time</th><th scope="col">Items</th><th scope="col" class="number">Rate</th><th scope="col" class="number">Left</th><th scope="col" class="number">Workers</th><th scope="col">Error, or what it waits for</th></tr></thead>
      <tbody>${shown.map((job) => html`<${Row} key=${job.id} job=${job} received=${data.received} />`)}</tbody></table></div>`
    : data.jobs.length ? html`<p class="none">No job is like that.</p>` : html`<p class="none">No job yet. <code>aioparcs run FOLDER</code> starts one, and it appears here.</p>`}</section>`;
}
