// The tree of a job as a live picture: the runner, its modules, their workers, and channels between peers.

import { html } from "../vendor/htm-preact.js";
import { states } from "../lib/job.js";
import { plural, whole } from "../lib/format.js";
import { layout } from "./layout.js";

const MANY = 60, PEERS = 400, BAR = 132, PAD = 9;
const ORDER = ["calling", "waiting", "connected", "starting", "done", "ended", "stopped", "unknown", "lost"];
const NAMES = { calling: "in a call", waiting: "waiting", connected: "connected", starting: "starting", done: "ended", stopped: "stopped", ended: "ended with the job", unknown: "end unknown", lost: "lost" };

const summary = (counts) => ORDER.filter((name) => counts[name]).map((name) => `${whole(counts[name])} ${NAMES[name]}`).join(", ");

function Dots({ group, dots, open }) {
  return group.workers.map((worker) => {
    const { x, y } = dots.get(worker.number);
    return html`<circle key=${worker.number} class="dot s-${worker.state}" cx=${x} cy=${y} r="5.5" onClick=${() => open(worker.number)}><title>${`${worker.module}:${worker.number} ${NAMES[worker.state]}${worker.node ? ` on ${worker.node}` : ""}`}</title></circle>`;
  });
}

function Bar({ group, counts }) {
  let x = group.x + PAD;
  const parts = ORDER.filter((name) => counts[name]).map((name) => {
    const width = (BAR * counts[name]) / group.workers.length, from = x;
    x += width;
    return html`<rect key=${name} class="dot s-${name}" x=${from} y=${group.y + 24} width=${width} height="8"><title>${NAMES[name]}</title></rect>`;
  });
  return html`${parts}<text class="small" x=${group.x + PAD} y=${group.y + 47}>${counts.connected ? `${whole(counts.connected + counts.calling)} connected` : `${whole(counts.calling)} in a call`}${counts.lost ? `, ${whole(counts.lost)} lost` : ""}</text>`;
}

function Group({ group, dots, isWhole, open }) {
  const counts = states(group.workers), room = Math.floor((group.width - 2 * PAD - 26) / 6.4);
  const name = group.module.length > room ? `${group.module.slice(0, Math.max(1, room - 1))}…` : group.module;
  return html`<g><rect class="box" x=${group.x} y=${group.y} width=${group.width} height=${group.height} rx="6" />
    <text x=${group.x + PAD} y=${group.y + 15}>${name}<title>${group.module}: ${summary(counts)}</title></text>
    <text class="small end" x=${group.x + group.width - PAD} y=${group.y + 15}>${whole(group.workers.length)}</text>
    ${isWhole ? html`<${Dots} group=${group} dots=${dots} open=${open} />` : html`<${Bar} group=${group} counts=${counts} />`}</g>`;
}

function Arc({ from, to, kind, text }) {
  const bend = 10 + Math.hypot(to.x - from.x, to.y - from.y) / 6;
  return html`<path class="peer ${kind}" d=${`M${from.x} ${from.y}Q${(from.x + to.x) / 2} ${(from.y + to.y) / 2 - bend} ${to.x} ${to.y}`}><title>${text}</title></path>`;
}

function Peers({ peers, dots }) {
  return peers.slice(-PEERS).map(([from, to, opened, closed]) => dots.has(from) && dots.has(to) &&
    html`<${Arc} key=${`${from} ${to} ${opened}`} from=${dots.get(from)} to=${dots.get(to)} kind=${closed === null ? "" : "closed"} text="channel between ${from} and ${to}" />`);
}

/** Channels between the workers of two groups, as one line with their number. */
function GroupPeers({ peers, groups }) {
  const byWorker = new Map(groups.flatMap((group) => group.workers.map((worker) => [worker.number, group]))), counts = new Map();
  for (const [from, to, , closed] of peers) {
    const [one, two] = [byWorker.get(from), byWorker.get(to)].sort((a, b) => groups.indexOf(a) - groups.indexOf(b));
    if (closed !== null || !one || !two || one === two) continue;
    const key = `${one.key} ${two.key}`;
    counts.set(key, { one, two, count: (counts.get(key)?.count || 0) + 1 });
  }
  const top = (group) => ({ x: group.x + group.width / 2, y: group.y });
  return [...counts].map(([key, { one, two, count }]) => html`<${Arc} key=${key} from=${top(one)} to=${top(two)} kind="" text="${plural(count, "open channel")} between ${one.module} and ${two.module}" />`);
}

export function Tree({ job, open }) {
  const workers = [...job.workers.values()];
  if (!workers.length) return html`<p class="none">No worker was requested yet.</p>`;
  const isWhole = workers.length <= MANY, tree = layout(workers, isWhole), openPeers = job.peers.filter((one) => one[3] === null).length;
  const active = (edge) => edge.workers.some((one) => one.state === "calling");
  return html`<div class="scroll tree-box" tabindex="0" role="region" aria-label="Tree of the job">
    <svg class="tree" width=${tree.width} height=${tree.height} viewBox="0 0 ${tree.width} ${tree.height}" role="img" aria-label="The runner and ${plural(workers.length, "worker")}: ${summary(states(workers))}; ${plural(openPeers, "open channel")} between peers">
      ${tree.edges.map((edge) => html`<path key=${edge.key} class="edge ${active(edge) ? "active" : ""}" d=${edge.path} />`)}
      <rect class="box runner" x=${tree.runner.x} y=${tree.runner.y} width=${tree.runner.width} height=${tree.runner.height} rx="6" />
      <text x=${tree.runner.x + 32} y=${tree.runner.y + 21} class="middle">runner</text>
      ${tree.groups.map((group) => html`<${Group} key=${group.key} group=${group} dots=${tree.dots} isWhole=${isWhole} open=${open} />`)}
      ${isWhole ? html`<${Peers} peers=${job.peers} dots=${tree.dots} />` : html`<${GroupPeers} peers=${job.peers} groups=${tree.groups} />`}</svg></div>
    <ul class="legend" aria-label="Colours of the tree">${ORDER.map((name) => html`<li><i class="key s-${name}"></i>${NAMES[name]}</li>`)}
      ${job.peers.length > 0 && html`<li><i class="key line"></i>${plural(openPeers, "open channel")} between peers, ${whole(job.peers.length - openPeers)} closed</li>`}</ul>`;
}
