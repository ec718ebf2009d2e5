// What stands in place of a view that the server refuses, or while its first data is on the way.

import { html } from "../vendor/htm-preact.js";
import { useTitle } from "../lib/title.js";

export function Refused({ reason }) {
  const isLogin = reason.status === 401 || reason.status === 403;
  useTitle(isLogin ? "Log in" : "Not found");
  if (!isLogin) {
    return html`<section class="card message"><h1>Not found</h1><p>${reason.text}</p>
      <p>A job that has ended stays in the history until newer ones need its place. <a href="#/jobs">All jobs</a></p></section>`;
  }
  return html`<section class="card message"><h1>Open the address that was printed</h1>
    <p>This browser is not logged in, or the server was started again since. ${reason.text}</p>
    <p><code>aioparcs ui</code> prints an address that ends in <code>#token=…</code>. Open that address once in this browser.</p></section>`;
}

const Over = ({ reason }) => html`The program of this page has ended, and the page with it. ${reason?.kept === false ? "Its history is not kept (PARCS_HISTORY=off): what is seen here is all that is left of the job." : html`<code>aioparcs ui</code> shows the job, and <code>aioparcs top</code> in a terminal.`}`;

export function Waiting({ status, reason }) {
  return html`<p class="pause" role="status">${status === "over" ? html`<${Over} reason=${reason} />` : status === "lost" ? "The server does not answer; trying again …" : "Loading …"}</p>`;
}

/** The state of the connection, next to a title. */
export function Connection({ status, reason, isOver = false }) {
  if (status === "lost") return html`<span class="link lost" role="status">disconnected, retrying</span>`;
  if (status === "over") return html`<span class="link" role="status"><span><${Over} reason=${reason} /></span></span>`;
  if (status !== "live") return html`<span class="link" role="status">connecting</span>`;
  return html`<span class="link ${isOver ? "" : "live"}" role="status">${isOver ? "ended" : "live"}</span>`;
}
