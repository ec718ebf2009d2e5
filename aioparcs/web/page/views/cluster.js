// The cluster: its nodes, their cores and memory, and what runs on them; and this machine.

import { html } from "../vendor/htm-preact.js";
import { clusterUrl } from "../lib/api.js";
import { latest, useFeed } from "../lib/feed.js";
import { memory, plural, whole } from "../lib/format.js";
import { useTitle } from "../lib/title.js";
import { Section } from "../parts/common.js";
import { Table } from "../parts/table.js";
import { Connection, Refused, Waiting } from "./refused.js";

/** What is wrong with a node, or its state. */
function condition({ state, availability }) {
  if (state !== "ready") return { text: state, kind: "lost" };
  if (availability === "drain") return { text: "drained", kind: "stopped" };
  if (availability === "pause") return { text: "paused", kind: "stopped" };
  return { text: "ready", kind: "done" };
}

/** Return how many tasks of each job's service a node has. */
function counted(tasks) {
  const counts = new Map();
  for (const { job, service, state } of tasks) {
    const key = JSON.stringify([job, service, state]);
    counts.set(key, (counts.get(key) || 0) + 1);
  }
  return [...counts].map(([key, count]) => [...JSON.parse(key), count]);
}

function Tasks({ tasks }) {
  if (!tasks.length) return html`<span class="note">nothing</span>`;
  return html`<ul class="tasks">${counted(tasks).map(([job, service, state, count]) => html`<li><code>${job}</code> ${service.replace(`parcs-${job}_`, "")}${count > 1 ? ` × ${count}` : ""} <span class="note">${state}</span></li>`)}</ul>`;
}

const COLUMNS = [
  { key: "name", name: "Node", value: (row) => row.name, show: (row) => html`<strong>${row.name}</strong> <span class="note">${row.role}</span>` },
  { key: "state", name: "State", value: (row) => condition(row).text, show: (row) => html`<span class="state s-${condition(row).kind}">${condition(row).text}</span>` },
  { key: "cores", name: "Cores", value: (row) => row.cores, show: (row) => whole(row.cores), number: true },
  { key: "memory", name: "Memory", value: (row) => row.memory, show: (row) => memory(row.memory), number: true },
  { key: "docker", name: "Docker", value: (row) => row.docker, show: (row) => row.docker },
  { key: "tasks", name: "Runs", value: (row) => row.tasks.length, show: (row) => html`<${Tasks} tasks=${row.tasks} />`, wide: true },
];

export function Cluster() {
  const { data, status, reason } = useFeed(clusterUrl, "cluster", latest);
  useTitle("Cluster", Boolean(data));
  if (status === "refused") return html`<${Refused} reason=${reason} />`;
  if (!data) return html`<${Waiting} status=${status} reason=${reason} />`;
  const { nodes, local } = data, ready = nodes.filter((one) => condition(one).text === "ready"), cores = ready.reduce((sum, one) => sum + one.cores, 0);
  return html`<div class="title"><div class="names"><h1>Cluster</h1><p class="meta"><${Connection} status=${status} reason=${reason} />${data.available && html`<span>${plural(ready.length, "node is", "nodes are")} ready, with ${plural(cores, "core")}</span>`}</p></div></div>
    <${Section} id="nodes" title="Docker Swarm">${data.available ? html`<${Table} label="Nodes of the Swarm" rows=${nodes} columns=${COLUMNS} rowKey=${(row) => row.name} extra="roomy" />` : html`<p class="none">${data.reason || "There is no Swarm here."}</p>`}<//>
    <${Section} id="local" title="This machine"><dl class="facts"><div><dt>Name</dt><dd>${local.name}</dd></div><div><dt>Cores</dt><dd>${whole(local.cores)}</dd></div><div><dt>Memory</dt><dd>${memory(local.memory)}</dd></div>
      <div><dt>Python</dt><dd>${local.python}</dd></div><div><dt>aioparcs</dt><dd>${local.aioparcs}</dd></div></dl><//>`;
}
