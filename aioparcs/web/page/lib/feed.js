// Streams of the server: one for each page that is open, with the state of its connection.

import { useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { refusal } from "./api.js";

const HIDDEN = 60_000; // milliseconds after which a tab that is not seen gives its connection back
const RETRY = 3_000;
let beside = null; // {kept, isOver} of the program that the server ends with, if it does

/**
 * Return what a stream has brought so far, and how the connection is.
 *
 * `merge(data, message)` returns the new data; data may be changed in place. `status` is "connecting", "live", "lost"
 * (it is tried again), "over" (the program has ended; `reason` is {kept}) or "refused" (`reason` is {status, text}).
 */
export function useFeed(url, name, merge) {
  const [, redraw] = useState(0);
  const held = useRef({ data: null, status: "connecting", reason: null });
  useEffect(() => {
    const state = { data: null, status: "connecting", reason: null };
    held.current = state;
    return connect(url, name, (message) => {
      state.data = merge(state.data, message);
    }, (change) => Object.assign(state, change), () => redraw((count) => count + 1));
  }, [url]);
  return held.current;
}

function connect(url, name, receive, update, redraw) {
  let source = null, timer = 0, frame = 0, isOver = false;
  const draw = () => {
    frame ||= requestAnimationFrame(() => { frame = 0; redraw(); });
  };
  const open = () => {
    clearTimeout(timer);
    if (source || isOver) return;
    source = new EventSource(url);
    source.addEventListener(name, (event) => {
      receive(JSON.parse(event.data));
      update({ status: "live", reason: null });
      draw();
    });
    source.addEventListener("beside", (event) => { beside = JSON.parse(event.data); });
    source.addEventListener("bye", (event) => { beside = { ...JSON.parse(event.data), isOver: true }; isOver = true; close(); over(); });
    source.addEventListener("error", () => failed());
  };
  const close = () => { source?.close(); source = null; };
  const over = () => { update({ status: "over", reason: beside }); draw(); };
  const failed = async () => {
    if (beside) over(); // perhaps it was not there to be told, as while the tab was hidden
    else update({ status: "lost" });
    draw();
    if (source?.readyState !== EventSource.CLOSED) return; // it tries again by itself
    close();
    const reason = await refusal(url);
    if (isOver) return;
    if (reason) update({ status: "refused", reason });
    else timer = setTimeout(open, RETRY);
    draw();
  };
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, HIDDEN);
    else open();
  };
  if (beside?.isOver) {
    over();
    return () => cancelAnimationFrame(frame);
  }
  document.addEventListener("visibilitychange", look);
  open();
  return () => {
    isOver = true;
    clearTimeout(timer);
    cancelAnimationFrame(frame);
    document.removeEventListener("visibilitychange", look);
    close();
  };
}

/** Return the newest message: for streams whose messages have all that is known. */
export const latest = (_, message) => message;

/** Render a component again each second, so that what it says of the time is true. */
export function useSeconds(isOn) {
  const [, redraw] = useState(0);
  useEffect(() => {
    if (!isOn) return undefined;
    const timer = setInterval(() => document.hidden || redraw((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [isOn]);
}
