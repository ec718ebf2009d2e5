// What the page knows of a job: the first message of its stream, and the changes since.

const LINES = 2000, POINTS = 1200, FAILURES = 50, SPANS = 300_000, TALKS = 5_000;
const PAUSE = 0.5; // seconds between two times with messages that are one conversation
const WHOLE = ["overview", "pools", "modules", "functions", "nodes", "peers", "slowest", "explain"];

function empty() {
  return {
    now: 0, received: 0, overview: null, pools: [], modules: [], functions: [], nodes: [], peers: [], slowest: [],
    explain: [], workers: new Map(), spans: new Map(), talks: new Map(), spanCount: 0, series: [], failures: [], log: [],
  };
}

/** Return a job after a message; a reset replaces all. */
export function merge(job, message) {
  if (!job || message.reset) job = empty();
  for (const key of WHOLE) if (message[key] !== undefined) job[key] = message[key];
  if (message.now !== undefined) [job.now, job.received] = [message.now, performance.now()];
  if (message.workersReset) job.workers = new Map();
  if (message.spansReset) [job.spans, job.talks, job.spanCount] = [new Map(), new Map(), 0];
  for (const worker of message.workers || []) job.workers.set(worker.number, worker);
  for (const span of message.spans || []) addSpan(job, span);
  if (message.seriesReset) job.series = [];
  job.series = last(job.series, message.series, POINTS);
  job.failures = last(job.failures, message.failures, FAILURES);
  job.log = last(job.log, message.log, LINES);
  if (job.spanCount > SPANS) thin(job);
  return job;
}

function last(rows, added, most) {
  if (!added?.length) return rows;
  const all = rows.concat(added);
  return all.length > most ? all.slice(-most) : all;
}

/** Add a time with messages and no call, or let the last one go on. */
function addTalk({ talks }, worker, begin, end, messages) {
  if (!talks.has(worker)) talks.set(worker, []);
  const own = talks.get(worker), before = own.at(-1);
  if (before && begin - before.end <= PAUSE) Object.assign(before, { end: Math.max(end, before.end), messages: before.messages + messages });
  else own.push({ begin, end, messages });
  if (own.length > TALKS) own.shift();
}

function addSpan(job, [worker, fn, begin, end, busy, calls, failed, call, error, cancelled]) {
  if (fn < 0) {
    addTalk(job, worker, begin, end, calls);
    return;
  }
  let spans = job.spans.get(worker);
  if (!spans) job.spans.set(worker, (spans = []));
  spans.push({ fn, begin, end, busy, calls, failed, call, error, cancelled });
  job.spanCount++;
}

/** Make one of each two neighbouring spans in the older half of each worker's. */
function thin(job) {
  job.spanCount = 0;
  for (const [worker, spans] of job.spans) {
    const half = (spans.length >> 2) * 2, kept = [];
    for (let i = 0; i < half; i += 2) kept.push(joined(spans[i], spans[i + 1]));
    for (let i = half; i < spans.length; i++) kept.push(spans[i]);
    job.spans.set(worker, kept);
    job.spanCount += kept.length;
  }
}

function joined(one, two) {
  const main = two.failed > one.failed || (two.failed === one.failed && two.busy > one.busy) ? two : one;
  return {
    ...main, begin: Math.min(one.begin, two.begin), end: Math.max(one.end, two.end), busy: one.busy + two.busy,
    calls: one.calls + two.calls, failed: one.failed + two.failed, cancelled: one.cancelled + two.cancelled,
  };
}

export const isRunning = (job) => job.overview?.state === "running";

/** Return the time of a job now: it goes on between messages while the job runs. */
export function clock(job, isLive = true) {
  if (!isRunning(job) || !isLive) return job.now;
  return job.now + Math.min(30, (performance.now() - job.received) / 1000);
}

/** Return whether the calls of a job are known: a history has them only if a page was wanted when its program began. */
export const hasCalls = ({ overview }) => overview.hasCalls;

/** Return the share of the work that workers of a job without pools have reported to be done; null for none. */
export function reported({ overview, modules }) {
  const own = overview.items.done || overview.items.total ? [] : modules.filter((one) => one.reports && one.requested), all = own.reduce((sum, one) => sum + one.requested, 0);
  return all ? own.reduce((sum, one) => sum + one.fraction * one.requested, 0) / all : null;
}

/** Return how many workers are in each state. */
export function states(workers) {
  const counts = { starting: 0, waiting: 0, calling: 0, connected: 0, done: 0, lost: 0, stopped: 0, ended: 0, unknown: 0 };
  for (const worker of workers) counts[worker.state] = (counts[worker.state] || 0) + 1;
  return counts;
}
