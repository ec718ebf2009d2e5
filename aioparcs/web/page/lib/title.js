// The title of the tab, and the mark by which tests know that a view has been drawn with data.

import { useEffect } from "../vendor/htm-preact.js";

export function useTitle(text, isReady = true) {
  useEffect(() => {
    document.title = text ? `${text} – aioparcs` : "aioparcs";
    if (isReady) document.documentElement.dataset.ready = "true";
  }, [text, isReady]);
}
