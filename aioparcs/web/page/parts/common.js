// Small parts of several views.

import { html } from "../vendor/htm-preact.js";
import { percent } from "../lib/format.js";

/** A state as a word with a mark of its colour. */
export const State = ({ state }) => html`<span class="state s-${state}">${state}</span>`;

/** A bar of what is done, failed and running; `total` may be unknown. */
export function Progress({ done, failed = 0, running = 0, total, label, isOver = false }) {
  const share = (count) => (total ? `${Math.min(100, (100 * count) / total)}%` : "0%");
  const known = total !== null && total !== undefined;
  const value = known ? { "aria-valuenow": done, "aria-valuemin": 0, "aria-valuemax": Math.max(total, 1) } : {};
  return html`<span class="progress ${known || isOver ? "" : "unknown"}" role="progressbar" aria-label=${label} ...${value}
    aria-valuetext=${known ? `${percent(total ? done / total : 1)} of ${total}` : `${done} of an unknown number`}>
    <i class="done" style=${{ width: known ? share(done - failed) : isOver ? "100%" : "0%" }}></i><i class="failed" style=${{ width: share(failed) }}></i><i
      class="running" style=${{ width: share(running) }}></i></span>`;
}

/** A name and its number; `note` is smaller below it. */
export const Figure = ({ name, value, note, isBad }) => html`<div class="figure"><dt>${name}</dt>
  <dd class=${isBad ? "bad" : ""}>${value}${note && html`<small>${note}</small>`}</dd></div>`;

export const Section = ({ id, title, tools, note, children, extra = "" }) => html`<section class="card ${extra}" aria-labelledby="${id}-title" id=${id}>
  <div class="bar"><h2 id="${id}-title">${title}</h2>${note && html`<span class="note">${note}</span>`}<span class="grow"></span>${tools}</div>${children}</section>`;

/** Text in which a word is marked; lower case on both sides. */
export function marked(text, word) {
  if (!word) return text;
  const parts = [], lower = text.toLowerCase();
  let from = 0, found;
  while ((found = lower.indexOf(word, from)) >= 0) {
    parts.push(text.slice(from, found), html`<mark>${text.slice(found, found + word.length)}</mark>`);
    from = found + word.length;
  }
  return [...parts, text.slice(from)];
}
