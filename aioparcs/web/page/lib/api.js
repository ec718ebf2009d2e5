// Requests to the server, whose answers are JSON.

const TRIES = 10, WAIT = 300; // of a login, in milliseconds
const part = encodeURIComponent;
export const jobsUrl = "api/jobs";
export const clusterUrl = "api/cluster";
export const jobUrl = (id) => `${jobsUrl}/${part(id)}`;
export const workerUrl = (id, number) => `${jobUrl(id)}/workers/${part(number)}`;
export const poolUrl = (id, pool) => `${jobUrl(id)}/pools/${part(pool)}`;

async function request(url, options) {
  try {
    const response = await fetch(url, { cache: "no-store", ...options });
    const text = await response.text();
    let value = null;
    try {
      value = JSON.parse(text);
    } catch {
      value = { error: text.slice(0, 300) };
    }
    if (response.ok && !value?.error) return { data: value ?? {}, status: response.status };
    return { data: null, status: response.status, text: value?.error || response.statusText };
  } catch {
    return { data: null, status: 0, text: "The server does not answer." };
  }
}

/** Return {data, status} of a URL; data is null and text says why if it is refused, status is 0 without an answer. */
export const get = (url) => request(url);

export const post = (url, body = {}) =>
  request(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** Return why the server refuses a stream, as {status, text}; null if it does not answer, or would not refuse it. */
export async function refusal(url) {
  const control = new AbortController();
  try {
    const response = await fetch(url, { cache: "no-store", signal: control.signal });
    if (response.ok || response.status >= 500) return null;
    const value = await response.json().catch(() => ({}));
    return { status: response.status, text: value.error || response.statusText };
  } catch {
    return null;
  } finally {
    control.abort(); // a stream has no end
  }
}

/**
 * Pass a token of the address on to the server and take it out of the address; return whether the server took it.
 *
 * The address becomes that of the job that it names, as in #token=...&job=ID, else that of all jobs.
 */
export async function login() {
  const given = new URLSearchParams(location.hash.slice(1)), token = given.get("token"), job = given.get("job");
  if (token === null) return true;
  history.replaceState(null, "", `${location.pathname}${location.search}${job ? `#/job/${part(job)}` : "#/jobs"}`);
  let answer;
  for (let i = 0; i < TRIES && !answer?.status; i++) {
    if (answer) await new Promise((done) => setTimeout(done, WAIT)); // the network has changed meanwhile
    answer = await post("api/login", { token });
  }
  return answer.status >= 200 && answer.status < 300;
}
