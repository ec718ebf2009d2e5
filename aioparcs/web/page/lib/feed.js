// Streams of the server: one for each page that is open, with the state of its connection.

import { useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { refusal } from "./api.js";

const HIDDEN = 60_000; // milliseconds after which a tab that is not seen gives its connection back
const RETRY = 3_000;
const LAST = 5; // answers after which what hardly changes is not asked for again

/**
 * Return what a stream has brought so far, and how the connection is.
 *
 * `merge(data, message)` returns the new data; data may be changed in place. `status` is "connecting", "live", "lost"
 * (it is tried again), "over" (the server has ended with its program) or "refused" (`reason` is {status, text}).
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
    source.addEventListener("bye", () => { isOver = true; close(); update({ status: "over" }); draw(); });
    source.addEventListener("error", () => failed());
  };
  const close = () => { source?.close(); source = null; };
  const failed = async () => {
    update({ status: "lost" });
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

/** Render a component again each second, so that what it says of the time is true. */
export function useSeconds(isOn) {
  const [, redraw] = useState(0);
  useEffect(() => {
    if (!isOn) return undefined;
    const timer = setInterval(() => document.hidden || redraw((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [isOn]);
}

/**
 * Return the newest answer of a URL that is asked again and again, as `useFeed` does.
 *
 * `isLast(data)` says that hardly more is to come: the URL is asked a few times more.
 */
export function usePoll(url, milliseconds, get, isLast = () => false) {
  const [state, setState] = useState({ data: null, status: "connecting", reason: null });
  useEffect(() => {
    let timer = 0, isOver = false, left = LAST;
    setState({ data: null, status: "connecting", reason: null });
    const ask = async () => {
      if (!document.hidden) {
        const answer = await get(url);
        if (isOver) return;
        if (answer.data) setState({ data: answer.data, status: "live", reason: null });
        else setState((old) => ({ ...old, status: answer.status ? "refused" : "lost", reason: answer }));
        if (answer.status === 401 || answer.status === 404) return;
        left = answer.data && isLast(answer.data) ? left - 1 : LAST;
        if (left <= 0) return;
      }
      timer = setTimeout(ask, milliseconds);
    };
    ask();
    return () => { isOver = true; clearTimeout(timer); };
  }, [url]);
  return state;
}
