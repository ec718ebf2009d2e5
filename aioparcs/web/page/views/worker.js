// One worker: where it is and what it does, its stack, its charts, its calls and its log.

import { html, useMemo } from "../vendor/htm-preact.js";
import { workerUrl } from "../lib/api.js";
import { latest, useFeed, useSeconds } from "../lib/feed.js";
import { bytes, compact, duration, moment, percent, plural, running, whole } from "../lib/format.js";
import { useTitle } from "../lib/title.js";
import { Action } from "../parts/actions.js";
import { Charts, columnsOf } from "../charts/chart.js";
import { byteChart, messageChart } from "../charts/course.js";
import { Section, State } from "../parts/common.js";
import { Calls, Failures } from "../parts/job_tables.js";
import { Log } from "../parts/log.js";
import { Explain } from "../parts/now.js";
import { Stack } from "../parts/stack.js";
import { Tabs } from "../parts/tabs.js";
import { Connection, Refused, Waiting } from "./refused.js";

const isGone = (worker) => worker.ended !== null;

const Fact = ({ name, value, isBad }) => html`<div><dt>${name}</dt><dd class=${isBad ? "bad" : ""}>${value}</dd></div>`;

function sentence({ state, current, requested, ended }, now) {
  if (current) return `In ${current.function || "a call"} for ${running(now - current.begin)}.`;
  if (state === "starting") return `Starting for ${running(now - requested)}.`;
  return { calling: "In a call.", waiting: "Waiting for a call or a message.", connected: "Connected; its calls are not recorded.", lost: `Lost at ${moment(ended)}.`, unknown: `Not known since ${moment(ended)}: the runner was killed, or its machine went down.`, stopped: `Stopped by the runner at ${moment(ended)}.` }[state] || `Ended at ${moment(ended)}.`;
}

function Facts({ worker, now, explain, hasCalls }) {
  const { current, channel, usage } = worker, until = worker.ended ?? now;
  return html`<section class="card now s-${worker.state}" aria-label="State of the worker">
    <p class="sentence">${sentence(worker, now)}</p>
    ${current?.call && html`<pre class="call" tabindex="0">${current.call}</pre>`}
    ${worker.reason && html`<pre class="error" tabindex="0">${worker.reason}</pre>`}
    <${Explain} rows=${explain} now=${now} />
    <dl class="facts"><${Fact} name="Requested" value=${moment(worker.requested)} /><${Fact} name="Connected" value=${moment(worker.connected)} />${isGone(worker) && html`<${Fact} name="Ended" value=${moment(worker.ended)} />`}
      <${Fact} name="Calls" value=${hasCalls ? whole(worker.calls) : "–"} /><${Fact} name="Failed" value=${hasCalls ? whole(worker.failed) : "–"} isBad=${worker.failed > 0} /><${Fact} name="Busy" value=${worker.connected === null || !hasCalls ? "–" : `${duration(worker.busy)} (${percent(Math.min(1, worker.busy / Math.max(0.001, until - worker.connected)))})`} />
      ${usage && html`<${Fact} name="CPU" value=${percent(usage.cpu)} /><${Fact} name="Memory" value=${bytes(usage.memory)} />`}
      ${channel && html`<${Fact} name="Sent to it" value="${plural(channel.sent, "message")}, ${bytes(channel.bytesSent)}" /><${Fact} name="Received from it" value="${plural(channel.received, "message")}, ${bytes(channel.bytesReceived)}" /><${Fact} name="Not sent yet" value=${bytes(channel.queued)} /><${Fact} name="Not received yet" value=${bytes(channel.unread)} />`}
      ${worker.parent !== null && html`<${Fact} name="Started by" value="worker ${worker.parent}" />`}</dl></section>`;
}

function Course({ usage, channel }) {
  const charts = useMemo(() => {
    const [times, cpu, memory] = columnsOf(usage, 3), [seconds, messages, sizes] = columnsOf(channel, 3);
    const used = [
      { title: "CPU", data: [times, cpu.map((one) => one && one * 100)], series: [{ name: "% of one core", tint: "accent", show: (value) => compact(value), isFilled: true }] },
      { title: "Memory", data: [times, memory], series: [{ name: "in use", tint: "violet", show: bytes, isFilled: true }] },
    ];
    return [...(usage.length ? used : []), ...(channel.length ? [messageChart(seconds, messages), byteChart(seconds, sizes)] : [])];
  }, [usage, channel]);
  return charts.length ? html`<${Section} id="course" title="Over time"><${Charts} charts=${charts} /><//>` : null;
}

function Head({ data, id, status, reason, url }) {
  const { worker, control } = data, name = `${worker.module}:${worker.number}`;
  return html`<div class="title"><div class="names"><p class="crumbs"><a href="#/jobs">Jobs</a> <span aria-hidden="true">/</span> <a href="#/job/${encodeURIComponent(id)}">${data.program || id}</a></p>
      <h1>${name} <${State} state=${worker.state} /></h1><p class="meta"><${Connection} status=${status} reason=${reason} isOver=${isGone(worker)} /><span>on ${worker.node || "this machine"}</span></p></div>
    ${control && !isGone(worker) && html`<div class="buttons"><${Action} name="Restart" title="Restart ${name}?" text="Another worker of its pool takes its place: it ends when that one is there." url="${url}/restart" confirm="Restart the worker" isDanger />
      <${Action} name="Kill" title="Kill ${name}?" text="Its process ends at once. The call that it is in fails with WorkerLost, or is repeated if its pool has retries; the pool starts another worker." url="${url}/kill" confirm="Kill the worker" isDanger /></div>`}</div>`;
}

export function Worker({ id, number }) {
  const url = workerUrl(id, number), { data, status, reason } = useFeed(url, "worker", latest);
  useTitle(data ? `${data.worker.module}:${number}` : `Worker ${number}`, Boolean(data));
  useSeconds(Boolean(data?.worker.current));
  if (status === "refused") return html`<${Refused} reason=${reason} />`;
  if (!data) return html`<${Waiting} status=${status} reason=${reason} />`;
  const { worker, now } = data, tabs = [
    { key: "calls", name: "Calls", count: data.hasCalls ? data.spans.length : undefined, draw: () => html`<${Calls} spans=${data.spans} functions=${data.functions || []} hasCalls=${data.hasCalls} />` },
    { key: "failed", name: "Failed calls", count: data.hasCalls ? (data.failures || []).length : undefined, isBad: true, draw: () => html`<${Failures} failures=${data.failures || []} id=${id} hasCalls=${data.hasCalls} />` },
  ];
  return html`<${Head} data=${data} id=${id} status=${status} reason=${reason} url=${url} />
    <div class="top"><${Facts} worker=${worker} now=${now} explain=${data.explain || []} hasCalls=${data.hasCalls} /><${Stack} url="${url}/stack" name="Python stack" isUp=${worker.connected !== null && !isGone(worker)} text="The stack of its Python program, on demand; the worker goes on meanwhile." gone="The worker is not up." /></div>
    <${Course} usage=${data.usageSeries || []} channel=${data.channelSeries || []} />
    <${Tabs} id="parts" label="Calls of the worker" tabs=${tabs} />
    <${Log} log=${data.log} />`;
}
