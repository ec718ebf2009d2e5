// Tabs, by the pattern of ARIA: arrows move between them.

import { html, useRef, useState } from "../vendor/htm-preact.js";

/** Panels of which one is seen; a tab is {key, name, count, isBad, draw()}. */
export function Tabs({ id, label, tabs }) {
  const [chosen, choose] = useState(tabs[0].key);
  const list = useRef();
  const here = tabs.find((one) => one.key === chosen) || tabs[0];
  const moved = (event) => {
    const at = tabs.indexOf(here), count = tabs.length;
    const to = { ArrowRight: (at + 1) % count, ArrowLeft: (at + count - 1) % count, Home: 0, End: count - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(tabs[to].key);
    list.current.children[to].focus();
  };
  return html`<section class="card tabs" id=${id} aria-label=${label}>
    <div role="tablist" aria-label=${label} ref=${list} onKeyDown=${moved}>${tabs.map((tab) => html`<button type="button" role="tab" key=${tab.key} id="tab-${tab.key}"
      aria-selected=${String(tab === here)} aria-controls="panel-${tab.key}" tabindex=${tab === here ? 0 : -1} onClick=${() => choose(tab.key)}>${tab.name}${tab.count !== undefined && html` <span class="count ${tab.isBad && tab.count ? "bad" : ""}">${tab.count.toLocaleString("en-US")}</span>`}</button>`)}</div>
    <div role="tabpanel" key=${here.key} id="panel-${here.key}" aria-labelledby="tab-${here.key}">${here.draw()}</div></section>`;
}
