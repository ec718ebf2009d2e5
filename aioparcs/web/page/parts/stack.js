// The button that fetches a stack, and the stack.

import { html, useState } from "../vendor/htm-preact.js";
import { get } from "../lib/api.js";
import { Section } from "./common.js";

/** `name` is that of the button, `text` says what it fetches, and `gone` why there is nothing to fetch. */
export function Stack({ id = "stack", url, name, isUp, text, gone }) {
  const [stack, setStack] = useState(null), [isBusy, setBusy] = useState(false);
  const fetchStack = async () => {
    setBusy(true);
    const answer = await get(url);
    setStack(answer.data ? { text: answer.data.stack, time: new Date().toLocaleTimeString() } : { error: answer.text });
    setBusy(false);
  };
  const tools = html`<button type="button" class="main" id="fetch-${id}" onClick=${fetchStack} disabled=${isBusy || !isUp}>${isBusy ? "Asking …" : stack ? "Again" : name}</button>`;
  return html`<${Section} id=${id} title=${id === "stack" ? "Where it is now" : "Where the program is now"} tools=${tools} note=${stack?.time && `at ${stack.time}`}>
    <div role="status">${stack?.text !== undefined && html`<pre class="stack" tabindex="0">${stack.text}</pre>`}${stack?.error && html`<p class="bad">${stack.error}</p>`}
    ${!stack && html`<p class="none">${isUp ? text : gone}</p>`}</div><//>`;
}
