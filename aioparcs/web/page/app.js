// The page's frame: the address, the head with its links, the login, and where a view is drawn.

import { html, render, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { login } from "./lib/api.js";
import { announcement, useAnnouncements } from "./lib/announce.js";
import { nextTheme, setTheme, theme } from "./lib/colours.js";
import { Cluster } from "./views/cluster.js";
import { Job } from "./views/job.js";
import { Jobs } from "./views/jobs.js";
import { Refused } from "./views/refused.js";
import { Worker } from "./views/worker.js";

/** Return the view of an address such as #/job/ID/worker/3, and its arguments. */
function route() {
  let parts;
  try {
    parts = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    parts = [];
  }
  const [name, id, sub, number] = parts;
  if (name === "cluster") return { name };
  if (name === "job" && id && sub === "worker" && /^\d+$/.test(number)) return { name: "worker", id, number: Number(number) };
  if (name === "job" && id) return { name, id };
  return { name: "jobs" };
}

const THEME_NAMES = { auto: "as the system", light: "light", dark: "dark" };

function ThemeButton() {
  const [name, setName] = useState(theme());
  const turn = () => {
    setTheme(nextTheme());
    setName(theme());
  };
  return html`<button type="button" class="quiet theme" onClick=${turn} title="Colours: ${THEME_NAMES[name]}"
    aria-label="Colours: ${THEME_NAMES[name]}. Change."><span class="theme-${name}" aria-hidden="true"></span></button>`;
}

function Head({ view }) {
  const link = (name, text, isHere) => html`<a href="#/${name}" aria-current=${isHere ? "page" : null}>${text}</a>`;
  const skip = (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  };
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="head"><div class="inner">
      <a class="brand" href="#/jobs"><img src="page/icon.svg" alt="" width="20" height="20" />aioparcs</a>
      <nav aria-label="Pages">${link("jobs", "Jobs", view !== "cluster")}${link("cluster", "Cluster", view === "cluster")}</nav>
      <span class="grow"></span>
      <${ThemeButton} />
    </div></header>`;
}

function Toast() {
  useAnnouncements();
  const { text, isError } = announcement();
  return html`<div class="toast ${text ? "" : "empty"} ${isError ? "bad" : ""}" role="status" aria-live="polite">${text}</div>`;
}

function View({ at }) {
  if (at.name === "cluster") return html`<${Cluster} />`;
  if (at.name === "worker") return html`<${Worker} key=${`${at.id}/${at.number}`} id=${at.id} number=${at.number} />`;
  if (at.name === "job") return html`<${Job} key=${at.id} id=${at.id} />`;
  return html`<${Jobs} />`;
}

function App({ isWelcome }) {
  const [at, setAt] = useState(route());
  const [welcome, setWelcome] = useState(isWelcome);
  const main = useRef();
  useEffect(() => {
    const moved = async () => {
      if (location.hash.startsWith("#token=")) setWelcome(await login());
      setAt(route());
      main.current.focus({ preventScroll: true });
      scrollTo(0, 0);
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return html`<${Head} view=${at.name} />
    <main id="main" tabindex="-1" ref=${main}>
      ${welcome ? html`<${View} at=${at} />` : html`<${Refused} reason=${{ status: 403, text: "The token of this address is not the server's." }} />`}
    </main><${Toast} />`;
}

setTheme(theme());
render(html`<${App} isWelcome=${await login()} />`, document.getElementById("app"));
