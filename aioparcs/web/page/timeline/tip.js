// What the timeline says of the place under the mouse.

import { duration, howMany, moment, percent, plural } from "../lib/format.js";
import { share } from "./rows.js";

const STATES = { starting: "starting", waiting: "waiting", calling: "in a call", connected: "connected", done: "ended", lost: "lost", stopped: "stopped", ended: "ended", unknown: "end unknown" };

function spanAt(spans, time, near) {
  let best = null;
  for (const span of spans) {
    if (span.begin > time + near) break;
    if (span.end >= time - near && (!best || isBetter(span, best, time))) best = span;
  }
  return best;
}
// A failed call is drawn upon others, however short it is.
const isBetter = (span, best, time) => (!span.failed === !best.failed ? distance(span, time) <= distance(best, time) : span.failed);
const distance = (span, time) => Math.max(span.begin - time, time - span.end, 0);

function ofSpan(span, functions) {
  const name = functions[span.fn]?.name || "call", took = span.calls === 1 ? duration(span.busy) : `${plural(span.calls, "call")}, busy ${percent(share(span))} of ${duration(span.end - span.begin)}`;
  const lines = [`${name}: ${span.call || took}`];
  if (span.call) lines.push(`${took} at ${moment(span.begin)}`);
  else lines.push(`at ${moment(span.begin)}`);
  if (span.error || span.failed || span.cancelled) lines.push(span.error || howMany(span));
  return lines;
}

const talkAt = (talks, time, near) => talks.find((one) => one.begin <= time + near && one.end >= time - near);

function ofWorker({ worker, spans, talks, now }, time, near, functions) {
  const lines = [`${worker.module}:${worker.number}${worker.node ? ` on ${worker.node}` : ""}`];
  if (time === null) return [...lines, STATES[worker.state], worker.reason, worker.calls ? plural(worker.calls, "call") : ""].filter(Boolean);
  if (worker.ended !== null && time >= worker.ended - near) return [...lines, `${STATES[worker.state]} at ${moment(worker.ended)}`, worker.reason].filter(Boolean);
  const { current } = worker;
  if (current && time >= current.begin && time <= now + near) return [...lines, `${current.function || "call"}: ${current.call}`, `for ${duration(now - current.begin)} now`];
  const span = spanAt(spans, time, near);
  if (span) return [...lines, ...ofSpan(span, functions)];
  const talk = talkAt(talks, time, near);
  if (talk) return [...lines, `talking: ${plural(talk.messages, "message")} in ${duration(talk.end - talk.begin)}`];
  if (time < worker.requested) return [...lines, "not requested yet"];
  if (worker.connected === null || time < worker.connected) return [...lines, `starting for ${duration((worker.connected ?? now) - worker.requested)}`];
  return [...lines, time > now || worker.state === "connected" ? "" : "waiting"].filter(Boolean);
}

/** Return the failed call of a row of one worker at a time; null if there is another one, or none. */
export function failedAt([{ worker, spans }, another], time, near) {
  if (another || time === null || (worker.current && time >= worker.current.begin)) return null;
  const span = spanAt(spans, time, near);
  return span?.failed ? span : null;
}

/** Return the text for a row of workers at a time (null for the row's name); `near` is the time of about a pixel. */
export function describe(entries, time, near, functions) {
  const short = (line) => (line.length > 300 ? `${line.slice(0, 300)}…` : line);
  if (entries.length === 1) return ofWorker(entries[0], time, near, functions).map(short).join("\n");
  const up = entries.filter(({ worker, now }) => worker.connected !== null && worker.connected <= (time ?? now) && (worker.ended === null || worker.ended > (time ?? now)));
  const calling = entries.filter(({ worker, spans, now }) => (worker.current && worker.current.begin <= (time ?? now)) || (time !== null && spanAt(spans, time, near)));
  const talking = time === null ? 0 : entries.filter((one) => !calling.includes(one) && talkAt(one.talks, time, near)).length;
  const [first, last] = [entries[0].worker, entries.at(-1).worker];
  return `${first.module}:${first.number} to ${last.number}\n${up.length} up, ${calling.length} in a call${talking ? `, ${talking} talking` : ""}${time === null ? "" : ` at ${moment(time)}`}`;
}
