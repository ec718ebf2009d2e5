// One job: what it does now and why it waits, then its timeline, charts, pools, tables, tree and log.

import { html, useMemo } from "../vendor/htm-preact.js";
import { jobUrl } from "../lib/api.js";
import { useFeed, useSeconds } from "../lib/feed.js";
import { ago, date, duration, percent, plural, rate, running, whole } from "../lib/format.js";
import { clock, hasCalls, isRunning, merge, reported, states } from "../lib/job.js";
import { useTitle } from "../lib/title.js";
import { Action } from "../parts/actions.js";
import { Figure, Progress, State } from "../parts/common.js";
import { Course } from "../charts/course.js";
import { Failures, Functions, Modules, Nodes, Slowest, Workers } from "../parts/job_tables.js";
import { Log } from "../parts/log.js";
import { Now } from "../parts/now.js";
import { Pools } from "../parts/pools.js";
import { Stack } from "../parts/stack.js";
import { Tabs } from "../parts/tabs.js";
import { Timeline } from "../timeline/timeline.js";
import { Tree } from "../tree/tree.js";
import { Connection, Refused, Waiting } from "./refused.js";

function Head({ overview, status, reason }) {
  const { id, program, engine, state, started, versions } = overview;
  return html`<div class="title"><div class="names"><p class="crumbs"><a href="#/jobs">Jobs</a> <span aria-hidden="true">/</span> <code>${id}</code></p>
      <h1>${program} <${State} state=${state} /></h1>
      <p class="meta"><${Connection} status=${status} reason=${reason} isOver=${state !== "running"} /><span>${engine === "swarm" ? "on the Swarm" : "on this machine"}</span><span title=${date(started)}>started ${ago(started)}</span>
        ${Object.entries(versions || {}).map(([name, value]) => html`<span key=${name}>${name} ${value}</span>`)}</p></div>
    ${overview.control && state === "running" && html`<${Action} name="Stop job" title="Stop ${program}?" text="The program ends as by SIGTERM, and its workers with it." url="${jobUrl(id)}/stop" confirm="Stop the job" isDanger />`}</div>`;
}

/** Return how many workers are not up, and why. */
function workerNote({ requested, done, lost, stopped }, isOver) {
  const parts = [[isOver ? requested - lost : done + stopped, "ended"], [lost, "lost"]].filter(([count]) => count);
  return parts.length ? parts.map(([count, name]) => (name === "lost" ? html`<b class="bad">${whole(count)} lost</b>` : `${whole(count)} ended`)).flatMap((part, i) => (i ? [", ", part] : [part])) : `of ${whole(requested)}`;
}

function Figures({ job, now }) {
  const { overview } = job, { items, workers } = overview, counts = states(job.workers.values()), isOver = !isRunning(job), isKnown = hasCalls(job), work = reported(job);
  const share = items.total ? percent(items.done / items.total) : null;
  return html`<section class="card figures" aria-label="Numbers">
    ${work === null ? html`<${Progress} ...${items} label="Items of the job" isOver=${isOver} />` : html`<${Progress} done=${Math.round(100 * work)} total=${100} label="Work of the job" />`}
    <dl><${Figure} name=${isOver ? "Took" : "Runs for"} value=${isOver ? duration(overview.seconds) : running(now)} />
    <${Figure} name="Time left" value=${isOver || overview.left === null ? "–" : overview.left < 1 ? "< 1 s" : duration(overview.left)} />
    <${Figure} name="Items" value=${whole(items.done)} note=${share ? `${share} of ${whole(items.total)}` : items.running ? `${whole(items.running)} with workers` : ""} />
    <${Figure} name="Rate" value=${rate(overview.rate)} note="items" />
    <${Figure} name="Failed" value=${whole(items.failed)} isBad=${items.failed > 0} note=${overview.failedCalls ? plural(overview.failedCalls, "failed call") : ""} />
    <${Figure} name="Workers up" value=${isOver ? "–" : whole(workers.up)} note=${workerNote(workers, isOver)} isBad=${!isOver && !workers.up && workers.lost > 0} />
    <${Figure} name="In a call" value=${isKnown && !isOver ? whole(counts.calling) : "–"} note=${counts.starting ? `${whole(counts.starting)} starting` : ""} />
    <${Figure} name="Utilisation" value=${percent(overview.utilisation)} note=${isKnown ? plural(overview.calls, "call") : "calls not recorded"} /></dl></section>`;
}

function tabsOf(job, id, now, open) {
  const isKnown = hasCalls(job);
  return [
    { key: "workers", name: "Workers", count: job.workers.size, draw: () => html`<${Workers} job=${job} id=${id} now=${now} hasCalls=${isKnown} />` },
    { key: "tree", name: "Tree", draw: () => html`<${Tree} job=${job} open=${open} />` },
    { key: "modules", name: "Modules", count: job.modules.length, draw: () => html`<${Modules} modules=${job.modules} />` },
    { key: "functions", name: "Functions", count: isKnown ? job.functions.length : undefined, draw: () => html`<${Functions} functions=${job.functions} hasCalls=${isKnown} />` },
    { key: "nodes", name: "Nodes", count: job.nodes.length, draw: () => html`<${Nodes} nodes=${job.nodes} hasCalls=${isKnown} />` },
    { key: "slowest", name: "Slowest calls", draw: () => html`<${Slowest} slowest=${job.slowest} id=${id} hasCalls=${isKnown} />` },
    { key: "failed", name: "Failed calls", count: isKnown ? job.failures.length : undefined, isBad: true, draw: () => html`<${Failures} failures=${job.failures} id=${id} hasCalls=${isKnown} />` },
  ];
}

function titleOf(job) {
  if (!job) return "Job";
  const { items, program, state } = job.overview;
  if (state !== "running") return `${program} ${state}`;
  return items.total ? `${Math.floor((100 * items.done) / items.total)} % ${program}` : program;
}

export function Job({ id }) {
  const { data, status, reason } = useFeed(jobUrl(id), "job", merge);
  const job = data?.overview ? data : null;
  useTitle(titleOf(job), Boolean(job));
  useSeconds(Boolean(job) && isRunning(job) && status === "live");
  const log = useMemo(() => job?.log || [], [job?.log]);
  if (status === "refused") return html`<${Refused} reason=${reason} />`;
  if (!job) return html`<${Waiting} status=${status} reason=${reason} />`;
  const isLive = status === "live", now = clock(job, isLive), hasControl = job.overview.control && isRunning(job);
  const open = (number) => { location.hash = `#/job/${encodeURIComponent(id)}/worker/${number}`; };
  return html`<${Head} overview=${job.overview} status=${status} reason=${reason} />
    <div class="top"><${Now} job=${job} now=${now} id=${id} /><${Figures} job=${job} now=${now} /></div>
    ${isRunning(job) && job.overview.engine !== "swarm" && html`<${Stack} id="program-stack" url="${jobUrl(id)}/where" name="Program's stack" isUp text="Where the runner's own code waits, on demand; the job goes on meanwhile." />`}
    <${Timeline} job=${job} id=${id} isLive=${isLive} open=${open} />
    <${Course} series=${job.series} hasCalls=${hasCalls(job)} />
    <${Pools} pools=${job.pools} explain=${job.explain} id=${id} hasControl=${hasControl} />
    <${Tabs} id="parts" label="Parts of the job" tabs=${tabsOf(job, id, now, open)} />
    <${Log} log=${log} workers=${job.workers} job=${id} isBounded />`;
}
