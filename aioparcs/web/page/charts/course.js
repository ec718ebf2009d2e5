// The charts of a job: workers, calls, messages and bytes over time.

import { html, useMemo } from "../vendor/htm-preact.js";
import { bytes, rate, whole } from "../lib/format.js";
import { Section } from "../parts/common.js";
import { Charts, columnsOf } from "./chart.js";

const upto = (value) => (value >= 10 ? whole(value) : String(Number(value.toFixed(1))));
const perSecond = (value) => rate(value);
const bytesPerSecond = (value) => `${bytes(value)}/s`;

export const bothWays = (tint, show) => [{ name: "both ways", tint, show, isFilled: true }];
export const messageChart = (times, values) => ({ title: "Messages", data: [times, values], series: bothWays("teal", perSecond) });
export const byteChart = (times, values) => ({ title: "Bytes", data: [times, values], series: bothWays("violet", bytesPerSecond) });

/** Return how many items ended in a second, from how many had ended at each point. */
const itemRates = (times, done) => done.map((count, i) => (i ? Math.max(0, count - done[i - 1]) / Math.max(0.001, times[i] - times[i - 1]) : 0));

export function Course({ series, hasCalls }) {
  const charts = useMemo(() => {
    const [times, up, calling, calls, failed, done, messages, sizes] = columnsOf(series, 8);
    return [
      { title: "Workers", data: [times, up, calling], series: [{ name: "up", tint: "up", show: upto, isStepped: true }, { name: hasCalls ? "in a call" : "with items", tint: "accent", show: upto, isFilled: true }] },
      hasCalls ? { title: "Calls", data: [times, calls, failed], series: [{ name: "ended", tint: "accent", show: perSecond, isFilled: true }, { name: "failed", tint: "bad", show: perSecond }] }
        : { title: "Items", data: [times, itemRates(times, done)], series: [{ name: "ended", tint: "accent", show: perSecond, isFilled: true }] },
      messageChart(times, messages), byteChart(times, sizes),
    ];
  }, [series, hasCalls]);
  return html`<${Section} id="course" title="Over time"><${Charts} charts=${charts} /><//>`;
}
