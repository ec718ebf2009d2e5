// The pools of a job: queue, rate, workers, and what one can do with them.

import { html } from "../vendor/htm-preact.js";
import { poolUrl } from "../lib/api.js";
import { duration, moment, plural, rate, whole } from "../lib/format.js";
import { Action } from "./actions.js";
import { Progress, Section } from "./common.js";

/** Return the number of the item that a pool waits for, "" for none that is known. */
function slowItem(pool, explain) {
  const texts = [...explain.filter((one) => one.subject === `pool ${pool.name}`).map((one) => one.text), pool.waits];
  return texts.map((text) => /\bitem (\d+)\b/.exec(text)?.[1]).find(Boolean) ?? "";
}

function Controls({ pool, id, explain }) {
  return html`<div class="buttons">
    <${Action} name="Resize" title="Resize pool ${pool.name}" text="Workers that are too many end when they have finished their calls." url="${poolUrl(id, pool.id)}/resize" confirm="Resize"
      field=${{ name: "workers", label: "Workers", value: pool.wanted, min: 1 }} />
    <${Action} name="Cancel item" title="Cancel an item of pool ${pool.name}" text="Only an item that a worker has can be cancelled. A plain function goes on in its worker until it returns." url="${poolUrl(id, pool.id)}/cancel" confirm="Cancel the item" isDanger
      field=${{ name: "item", label: "Item", value: slowItem(pool, explain), min: 0 }} /></div>`;
}

const Value = ({ name, value, isBad }) => html`<div><dt>${name}</dt><dd class=${isBad ? "bad" : ""}>${value}</dd></div>`;

function Pool({ pool, id, hasControl, explain }) {
  const isOver = pool.ended !== null, queue = pool.total === null ? null : Math.max(0, pool.total - pool.done - pool.running);
  return html`<article class="pool ${isOver ? "over" : ""}" aria-label="Pool ${pool.name}">
    <div class="bar"><h3>${pool.name}</h3><span class="note">${isOver ? `ended at ${moment(pool.ended)}` : pool.left !== null ? `${duration(pool.left)} left` : ""}</span><span class="grow"></span>
      ${hasControl && !isOver && html`<${Controls} pool=${pool} id=${id} explain=${explain} />`}</div>
    <${Progress} done=${pool.done} failed=${pool.failed} running=${pool.running} total=${pool.total} isOver=${isOver} label="Items of pool ${pool.name}" />
    <dl><${Value} name="done" value=${pool.total === null ? whole(pool.done) : `${whole(pool.done)} of ${whole(pool.total)}`} /><${Value} name="rate" value=${rate(pool.rate)} />
      <${Value} name="failed" value=${whole(pool.failed)} isBad=${pool.failed > 0} />${pool.repeats > 0 && html`<${Value} name="repeated" value=${whole(pool.repeats)} />`}
      ${!isOver && html`<${Value} name="with workers" value=${whole(pool.running)} /><${Value} name="queued" value=${whole(queue)} />`}
      <${Value} name="workers" value=${isOver ? `${whole(pool.peak)} at most` : `${whole(pool.workers)} of ${whole(pool.wanted)}`} isBad=${!isOver && pool.workers < pool.wanted} /></dl>
    ${pool.waits && !isOver && html`<p class="waits">${pool.waits}</p>`}</article>`;
}

export function Pools({ pools, id, hasControl, explain }) {
  if (!pools.length) return null;
  const sorted = [...pools].sort((one, two) => Number(one.ended !== null) - Number(two.ended !== null) || one.id - two.id);
  return html`<${Section} id="pools" title="Pools" note=${plural(pools.length, "pool")}><div class="pools">${sorted.map((pool) => html`<${Pool} key=${pool.id} pool=${pool} id=${id} hasControl=${hasControl} explain=${explain} />`)}</div><//>`;
}
