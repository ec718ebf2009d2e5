// Actions on a job: each asks first, and says what came of it.

import { html, useRef, useState } from "../vendor/htm-preact.js";
import { announce } from "../lib/announce.js";
import { post } from "../lib/api.js";

/**
 * A button that opens a dialog, and sends a request when that is confirmed.
 *
 * `field` is {name, label, value, min} of a number that is asked for.
 */
export function Action({ name, title, text, url, confirm, field, isDanger }) {
  const dialog = useRef();
  const [isBusy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    const body = field ? { [field.name]: Number(new FormData(event.target).get(field.name)) } : {};
    setBusy(true);
    const answer = await post(url, body);
    setBusy(false);
    dialog.current?.close();
    if (answer.data) announce(answer.data.text || `${confirm}: done.`);
    else announce(`${confirm}: ${answer.text}`, true);
  };
  const id = `dialog-${url.replace(/\W+/g, "-")}`;
  return html`<button type="button" class=${isDanger ? "danger" : ""} onClick=${() => dialog.current.showModal()} aria-haspopup="dialog">${name}</button>
    <dialog ref=${dialog} aria-labelledby=${id}><form onSubmit=${send}>
      <h2 id=${id}>${title}</h2><p>${text}</p>
      ${field && html`<label>${field.label} <input type="number" name=${field.name} min=${field.min} max="100000" step="1" defaultValue=${field.value} required autofocus /></label>`}
      <div class="buttons"><button type="button" onClick=${() => dialog.current.close()} autofocus=${!field}>Back</button>
        <button type="submit" class=${isDanger ? "danger" : "main"} disabled=${isBusy}>${confirm}</button></div></form></dialog>`;
}
