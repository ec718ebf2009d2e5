// The tables of a job: workers, functions, nodes, slowest and failed calls.

import { html, useState } from "../vendor/htm-preact.js";
import { functionClass } from "../lib/colours.js";
import { bytes, duration, howMany, moment, percent, plural, running, whole } from "../lib/format.js";
import { Progress, State } from "./common.js";
import { Table } from "./table.js";

const text = (key, name, value, more = {}) => ({ key, name, value, show: value, ...more });
const number = (key, name, value, show = whole, more = {}) => ({ key, name, value, show: (row) => show(value(row)), number: true, ...more });

const UNKNOWN = "The calls of this job are not recorded: aioparcs run --ui, or PARCS_UI=1 where it starts, records them.";

const workerLink = (id, worker, name = worker) => html`<a href="#/job/${encodeURIComponent(id)}/worker/${worker}">${name}</a>`;

const searched = ({ number, module, node, state, reason, current }) => `${module}:${number} ${node} ${state} ${reason} ${current ? `${current.function} ${current.call}` : ""}`.toLowerCase();

export function Workers({ job, id, now, hasCalls }) {
  const [word, setWord] = useState(""), all = [...job.workers.values()], rows = word ? all.filter((row) => searched(row).includes(word)) : all, has = (pick) => all.some((row) => pick(row)), known = (value) => (hasCalls ? value : null);
  const columns = [
    { key: "number", name: "Worker", value: (row) => row.number, show: (row) => workerLink(id, row.number, `${row.module}:${row.number}`) },
    ...(has((row) => row.node) ? [text("node", "Node", (row) => row.node || "–")] : []),
    { key: "state", name: "State", value: (row) => row.state, show: (row) => html`<${State} state=${row.state} />` },
    { key: "current", name: "In a call for", value: (row) => (row.current ? now - row.current.begin : null), number: true, show: (row) => (row.current ? running(now - row.current.begin) : "") },
    { key: "what", name: "What", value: (row) => row.current?.call || row.reason, show: (row) => html`<span class="cut">${row.current ? `${row.current.function || "call"}: ${row.current.call}` : row.reason}</span>`, wide: true, bad: (row) => row.state === "lost" },
    number("calls", "Calls", (row) => known(row.calls)),
    number("failed", "Failed", (row) => known(row.failed), whole, { bad: (row) => row.failed > 0 }),
    number("busy", "Busy", (row) => known(row.busy), duration),
  ];
  if (has((row) => row.usage)) columns.push(number("cpu", "CPU", (row) => row.usage?.cpu, percent), number("memory", "Memory", (row) => row.usage?.memory, bytes));
  if (has((row) => row.channel)) columns.push(number("queued", "Unsent", (row) => row.channel?.queued, bytes), number("unread", "Unread", (row) => row.channel?.unread, bytes), number("bytes", "Bytes", (row) => (row.channel ? row.channel.bytesSent + row.channel.bytesReceived : null), bytes));
  return html`<div class="filters above"><label>Search <input type="search" id="worker-search" autocomplete="off" placeholder="state, node, call …" onInput=${(event) => setWord(event.target.value.toLowerCase())} /></label>
      <span class="note" role="status">${word && `${plural(rows.length, "worker")} found`}</span></div>
    <${Table} label="Workers" rows=${rows} columns=${columns} rowKey=${(row) => row.number} empty=${word ? "No worker is like that." : "No worker was requested yet."} sorting=${{ key: "number", isDown: false }} extra="workers" />`;
}

export function Modules({ modules }) {
  return html`<${Table} label="Modules" rows=${modules} rowKey=${(row) => row.module} empty="No worker was requested yet." columns=${[
    text("module", "Module", (row) => row.module),
    number("requested", "Requested", (row) => row.requested),
    number("up", "Up", (row) => row.up),
    number("done", "Ended", (row) => row.done),
    number("lost", "Lost", (row) => row.failed, whole, { bad: (row) => row.failed > 0 }),
    number("stopped", "Stopped", (row) => row.stopped),
    { key: "fraction", name: "Progress", value: (row) => (row.reports ? row.fraction : null), show: (row) => (row.reports ? html`<${Progress} done=${Math.round(100 * row.fraction)} total=${100} label="Progress of ${row.module}" />` : "–") },
    text("nodes", "Nodes", (row) => Object.entries(row.nodes).map(([name, count]) => `${name || "this machine"}: ${whole(count)}`).join(", "), { wide: true }),
    text("waits", "Waits for", (row) => row.waits || "", { wide: true }),
  ]} />`;
}

export function Functions({ functions, hasCalls }) {
  const all = functions.reduce((sum, one) => sum + one.busy, 0) || 1, rows = functions.map((one, i) => ({ ...one, i }));
  return html`<${Table} label="Functions" rows=${rows} rowKey=${(row) => row.i} sorting=${{ key: "busy", isDown: true }} empty=${hasCalls ? "No call has ended yet." : UNKNOWN} columns=${[
    { key: "name", name: "Function", value: (row) => row.name, show: (row) => html`<i class="key ${functionClass(row.i)}" aria-hidden="true"></i>${row.name || "call"}` },
    number("calls", "Calls", (row) => row.calls),
    number("failed", "Failed", (row) => row.failed, whole, { bad: (row) => row.failed > 0 }),
    ...(functions.some((row) => row.cancelled) ? [number("cancelled", "Cancelled", (row) => row.cancelled)] : []),
    number("busy", "Time in all", (row) => row.busy, duration),
    number("share", "Share", (row) => row.busy / all, percent),
    number("mean", "Mean", (row) => (row.calls ? row.busy / row.calls : null), duration),
    number("longest", "Longest", (row) => row.longest || null, duration),
  ]} />`;
}

export function Nodes({ nodes, hasCalls }) {
  return html`<${Table} label="Nodes" rows=${nodes} rowKey=${(row) => row.node} columns=${[
    text("node", "Node", (row) => row.node || "this machine"),
    number("workers", "Workers", (row) => row.workers),
    number("up", "Up", (row) => row.up),
    number("lost", "Lost", (row) => row.lost, whole, { bad: (row) => row.lost > 0 }),
    number("calls", "Calls", (row) => (hasCalls ? row.calls : null)),
    number("busy", "Time in calls", (row) => (hasCalls ? row.busy : null), duration),
    number("mean", "Mean", (row) => (row.calls ? row.busy / row.calls : null), duration),
  ]} />`;
}

export function Slowest({ slowest, id, hasCalls }) {
  return html`<${Table} label="Slowest calls" rows=${slowest} rowKey=${(row) => row.join(" ")} empty=${hasCalls ? "No call has ended yet." : UNKNOWN} columns=${[
    number("busy", "Took", (row) => row[0], duration),
    text("function", "Function", (row) => row[1] || "call"),
    text("call", "Call", (row) => row[2], { wide: true }),
    { key: "worker", name: "Worker", value: (row) => row[3], show: (row) => workerLink(id, row[3]), number: true },
    number("begin", "Began", (row) => row[4], moment),
  ]} />`;
}

/** An error that opens to show where it was raised, if that is known. */
const Failure = ({ error, traceback }) => (traceback ? html`<details><summary>${error}</summary><pre class="trace" tabindex="0">${traceback}</pre></details>` : error);

export function Failures({ failures, id, hasCalls = true }) {
  return html`<${Table} label="Failed calls" rows=${failures} rowKey=${(row) => row.slice(0, 5).join(" ")} empty=${hasCalls ? "No call has failed." : UNKNOWN} sorting=${{ key: "time", isDown: true }} columns=${[
    number("time", "Time", (row) => row[0], moment),
    text("function", "Function", (row) => row[1] || "call"),
    text("call", "Call", (row) => row[2], { wide: true }),
    text("error", "Error", (row) => row[3], { wide: true, bad: () => true, show: (row) => html`<${Failure} error=${row[3]} traceback=${row[5]} />` }),
    { key: "worker", name: "Worker", value: (row) => row[4], show: (row) => workerLink(id, row[4]), number: true },
  ]} />`;
}

/** The last calls of one worker; `spans` are as in the stream. */
export function Calls({ spans, functions, hasCalls }) {
  return html`<${Table} label="Calls" rows=${spans} rowKey=${(row) => row.slice(0, 5).join(" ")} sorting=${{ key: "begin", isDown: true }} empty=${hasCalls ? "No call has ended yet." : UNKNOWN} columns=${[
    number("begin", "Began", (row) => row[2], moment),
    number("busy", "Took", (row) => row[4], duration),
    { key: "function", name: "Function", value: (row) => functions[row[1]] || "call", show: (row) => html`<i class="key ${functionClass(row[1])}" aria-hidden="true"></i>${functions[row[1]] || "call"}` },
    number("calls", "Calls", (row) => row[5]),
    text("call", "Call", (row) => row[7] || (row[5] > 1 ? "short calls together" : ""), { wide: true }),
    text("error", "Error", (row) => row[8] || howMany({ failed: row[6], cancelled: row[9] }), { wide: true, bad: (row) => row[6] > 0 }),
  ]} />`;
}
