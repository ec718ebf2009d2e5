// Short messages on what an action did: seen for a while, and read out by screen readers.

import { useEffect, useState } from "../vendor/htm-preact.js";

const SHOWN = 8000; // milliseconds
let current = { text: "", isError: false };
let timer = 0;
const listeners = new Set();

function set(next) {
  current = next;
  for (const listener of listeners) listener();
}

export function announce(text, isError = false) {
  clearTimeout(timer);
  set({ text, isError });
  timer = setTimeout(() => set({ text: "", isError: false }), SHOWN);
}

export const announcement = () => current;

export function useAnnouncements() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = () => redraw((count) => count + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
}
