// Numbers and times as text for people; a number and its unit stay in one line.

const NEXT = "\u00a0"; // a space at which no line ends

export const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-US"));
export const plural = (count, one, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;
export const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(value > 0 && value < 0.1 ? 1 : 0)}${NEXT}%`);

/** A length of time, with about three digits. */
export function duration(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 172800) return `${(value / 86400).toFixed(1)}${NEXT}d`;
  if (value >= 7200) return `${Math.floor(value / 3600)}${NEXT}h${NEXT}${Math.floor((value % 3600) / 60)}${NEXT}min`;
  if (value >= 120) return `${Math.floor(value / 60)}${NEXT}min${NEXT}${Math.floor(value % 60)}${NEXT}s`;
  if (value >= 10) return `${value.toFixed(0)}${NEXT}s`;
  if (value >= 1) return `${value.toFixed(1)}${NEXT}s`;
  if (value >= 0.001) return `${(value * 1e3).toPrecision(3)}${NEXT}ms`;
  return value > 0 ? `${(value * 1e6).toPrecision(3)}${NEXT}µs` : `0${NEXT}s`;
}

/** A length of time while it runs: whole seconds, so that it does not flicker. */
export function running(value) {
  if (value === null || value === undefined) return "–";
  return value < 10 ? `${Math.max(0, value).toFixed(0)}${NEXT}s` : duration(value);
}

/** A time of a job: seconds since it began. */
export function moment(value) {
  if (value === null || value === undefined) return "–";
  if (value < 3600) return `${value.toFixed(2)}${NEXT}s`;
  const [hours, minutes, seconds] = [value / 3600, (value % 3600) / 60, value % 60].map((part) => String(Math.floor(part)).padStart(2, "0"));
  return `${hours}:${minutes}:${seconds}`;
}

/** When something was, seen from now; both in seconds since 1970. */
export function ago(unix, now = Date.now() / 1000) {
  const past = Math.max(0, now - unix);
  if (past < 5) return "just now";
  if (past < 60) return `${Math.floor(past)}${NEXT}s ago`;
  if (past < 3600) return `${Math.floor(past / 60)}${NEXT}min ago`;
  if (past < 86400) return `${Math.floor(past / 3600)}${NEXT}h ago`;
  return `${Math.floor(past / 86400)}${NEXT}d ago`;
}

export const date = (unix) => new Date(unix * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });

const short = (value) => (value === 0 ? "0" : value >= 100 ? whole(value) : String(Number(value.toPrecision(3))));

export function rate(value, unit = "") {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.1) return `${short(value * 60)}${unit && ` ${unit}`}/min`;
  return `${short(value)}${unit && ` ${unit}`}/s`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  for (; value >= 1000 && step < units.length - 1; step++) value /= 1000;
  return `${short(value)}${NEXT}${units[step]}`;
}

/** Memory, of which machines have powers of two. */
export const memory = (value) => (value ? `${short(value / 2 ** 30)}${NEXT}GiB` : "–");

/** A number on an axis. */
export function compact(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${Number((value / 1e9).toPrecision(3))}G`;
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

const MINUTES = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

/** Round steps between two values, about so many as wanted, and their distance; those of times are whole minutes. */
export function steps(from, to, most, isTime = true) {
  const rough = (to - from) / Math.max(1, most), power = 10 ** Math.floor(Math.log10(rough || 1));
  const nice = isTime && rough > 30 ? MINUTES : [1, 2, 5, 10].map((factor) => factor * power);
  const step = nice.find((one) => one >= rough) || power * 10, marks = [];
  for (let one = Math.ceil(from / step - 1e-9) * step; one <= to + step * 1e-6; one += step) marks.push(one);
  return [marks, step];
}

/** A time on an axis whose steps are so long. */
export function tick(value, step) {
  if (step >= 3600) return `${Number((value / 3600).toFixed(1))}${NEXT}h`;
  if (step >= 60) return `${Math.round(value / 60)}${NEXT}min`;
  if (step < 0.001) return `${Number((value * 1e3).toFixed(3))}${NEXT}ms`;
  if (value >= 120) return `${Math.floor(value / 60)}:${(value % 60).toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9))).padStart(2, "0")}`;
  return `${value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))}${NEXT}s`;
}

/** Return how many of some calls have failed, and how many were cancelled; "" if none was either. */
export const howMany = ({ failed, cancelled }) => [failed && `${failed} failed`, cancelled && `${cancelled} cancelled`].filter(Boolean).join(", ");
