// What a job is doing right now, and why it is waiting: the first thing that its page says.

import { html } from "../vendor/htm-preact.js";
import { duration, percent, plural, running, whole } from "../lib/format.js";
import { hasCalls, reported, states } from "../lib/job.js";

const OVER = { done: "Finished", failed: "Failed", stopped: "Stopped", killed: "No end was recorded: the runner was killed, or its machine went down" };

function progress(job, isOver) {
  const { items, left: seconds } = job.overview, left = isOver ? null : seconds, share = reported(job);
  if (share !== null) return ` ${percent(share)} of the work is done.`;
  if (!items.done && !items.running && !items.total) return "";
  const of = items.total === null ? "" : ` of ${whole(items.total)}`;
  const rest = left >= 1 && items.total !== items.done ? `, about ${duration(left)} left` : "";
  return ` ${whole(items.done)}${of} ${of || items.done !== 1 ? "items are" : "item is"} done${rest}.`;
}

/** Return one sentence or two on a job. */
export function sentence(job) {
  const { overview } = job, counts = states(job.workers.values()), requested = job.workers.size || overview.workers.requested;
  const up = job.workers.size ? counts.waiting + counts.calling + counts.connected : overview.workers.up; // a Swarm's log has no single workers
  if (overview.state !== "running") {
    const after = overview.state === "killed" ? "; it was last seen after" : " after";
    return `${OVER[overview.state]}${after} ${duration(overview.seconds)}.${progress(job, true)}`;
  }
  if (!requested) return "The program runs and has requested no worker yet.";
  if (!up && counts.starting) return `${plural(counts.starting, "worker starts", "workers start")}.${progress(job, false)}`;
  if (!up) return `No worker is up: ${plural(requested, "worker has", "workers have")} ended.${progress(job, false)}`;
  const { running: items } = overview.items;
  const work = !hasCalls(job) ? `${plural(up, "worker is", "workers are")} connected${items ? `, with ${plural(items, "item")}` : ""}` : counts.calling ? `${whole(counts.calling)} of ${plural(up, "worker")} ${counts.calling === 1 ? "is" : "are"} in a call` : `${plural(up, "worker is", "workers are")} up, none of them in a call`;
  return `${work}${counts.starting ? `, ${whole(counts.starting)} more ${counts.starting === 1 ? "starts" : "start"}` : ""}.${progress(job, false)}`;
}

/** The rows of an explanation. */
export function Explain({ rows, now, job }) {
  if (!rows.length) return null;
  return html`<ul class="explain" aria-label="Why it is waiting">${rows.map(({ subject, text, since }) => {
    const worker = /^worker (\d+)$/.exec(subject);
    return html`<li key=${subject + text.replace(/\d+/g, "")}><span class="subject" title=${subject}>${worker && job ? html`<a href="#/job/${encodeURIComponent(job)}/worker/${worker[1]}">${subject}</a>` : subject}</span>
      <span class="why">${text}</span>${since !== null && since !== undefined && html`<span class="since">${running(now - since)}</span>`}</li>`;
  })}</ul>`;
}

export function Now({ job, now, id }) {
  const { overview } = job, isOver = overview.state !== "running";
  return html`<section class="card now s-${overview.state}" aria-labelledby="now-title" id="now">
    <h2 id="now-title" class="eyebrow">${isOver ? "At the end" : "Right now"}</h2>
    <p class="sentence">${sentence(job)}</p>
    ${overview.error && html`<pre class="error" tabindex="0">${overview.error}</pre>`}
    ${!isOver && html`<${Explain} rows=${job.explain} now=${now} job=${id} />`}
    ${!isOver && !job.explain.length && html`<p class="note">It waits for nothing.</p>`}
    ${overview.isFull && html`<p class="note">The history of this job has reached its largest size: calls and lines after that are left out.</p>`}</section>`;
}
