// Colours: those of functions, those of the style sheet as a canvas needs them, and the choice of dark or light.

import { useEffect, useState } from "../vendor/htm-preact.js";

const PALETTE = ["#3b82c4", "#2a9d7f", "#b7791f", "#8b5fbf", "#c2578f", "#5a8f29", "#2f8f9d", "#a0694b", "#6573c3", "#7d7f2a"];
const THEMES = ["auto", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();
const known = new Map();

export const ofFunction = (number) => PALETTE[number % PALETTE.length];
export const functionClass = (number) => `f${number % PALETTE.length}`;

/** A colour of the style sheet, as it is now: a canvas does not know variables. */
export function colour(name) {
  if (!known.has(name)) {
    const probe = document.createElement("span");
    probe.hidden = true;
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    known.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return known.get(name);
}

function changed() {
  known.clear();
  for (const listener of listeners) listener();
}
dark.addEventListener("change", changed);

export function theme() {
  try {
    const kept = localStorage.getItem("aioparcs-theme");
    return THEMES.includes(kept) ? kept : "auto";
  } catch {
    return "auto"; // storage is refused
  }
}

export function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("aioparcs-theme", name);
  } catch {
    // it holds for this page
  }
  changed();
}

export const nextTheme = () => THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];

/** Render a component again whenever the colours change; return how often they did. */
export function useColours() {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const listener = () => setCount((one) => one + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return count;
}
