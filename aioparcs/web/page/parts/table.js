// Tables that are sorted by a click, and of which only the rows that are seen are in the document.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { whole } from "../lib/format.js";

const ROW = 30, SPARE = 8, FEW = 60;

const plain = (value) => (typeof value === "string" ? value.toLowerCase() : (value ?? -Infinity));
function compare(one, two) {
  const [a, b] = [plain(one), plain(two)];
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function sortedRows(rows, columns, { key, isDown }) {
  const column = columns.find((one) => one.key === key);
  if (!column) return rows;
  const sign = isDown ? -1 : 1;
  return rows.map((row) => [column.value(row), row]).sort((one, two) => sign * compare(one[0], two[0])).map(([, row]) => row);
}

/** Return the first and the last row that are seen in a box, and what tells it that the box was scrolled. */
export function useWindow(count, height, isOn) {
  const box = useRef();
  const [top, setTop] = useState(0);
  const frame = useRef(0);
  const scrolled = () => {
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0;
      if (box.current) setTop(box.current.scrollTop);
    });
  };
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  if (!isOn) return { box, scrolled, first: 0, last: count };
  const view = box.current?.clientHeight || 600;
  const first = Math.max(0, Math.min(count - 1, Math.floor(top / height)) - SPARE);
  return { box, scrolled, first, last: Math.min(count, Math.floor((top + view) / height) + SPARE) };
}

function Heading({ column, sort, setSort }) {
  const isHere = sort.key === column.key;
  const turn = () => setSort({ key: column.key, isDown: isHere ? !sort.isDown : Boolean(column.number) });
  return html`<th scope="col" class=${column.number ? "number" : ""} aria-sort=${isHere ? (sort.isDown ? "descending" : "ascending") : null}>
    <button type="button" onClick=${turn}>${column.name}<span aria-hidden="true">${isHere ? (sort.isDown ? " ↓" : " ↑") : ""}</span></button></th>`;
}

/**
 * A table.
 *
 * A column is {key, name, value(row), show(row), number, wide, bad(row)}: `value` sorts, `show` is what is seen.
 * `rowKey(row)` names a row.
 */
export function Table({ label, columns, rows, rowKey, empty = "Nothing yet.", sorting = {}, extra = "" }) {
  const [sort, setSort] = useState({ key: null, isDown: false, ...sorting });
  const ordered = useMemo(() => sortedRows(rows, columns, sort), [rows, sort]);
  const isLong = ordered.length > FEW;
  const { box, scrolled, first, last } = useWindow(ordered.length, ROW, isLong);
  if (!rows.length) return html`<p class="none">${empty}</p>`;
  const space = (count, name) => count > 0 && html`<tr key=${name} class="space" aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${count * ROW}px` }}></td></tr>`;
  return html`<div class="scroll ${isLong ? "long" : ""} ${extra}" ref=${box} onScroll=${scrolled} tabindex="0" role="region" aria-label=${label}>
    <table aria-rowcount=${isLong ? ordered.length + 1 : null}><thead><tr>${columns.map((column) => html`<${Heading} key=${column.key} column=${column} sort=${sort} setSort=${setSort} />`)}</tr></thead>
    <tbody>${space(first, "above")}${ordered.slice(first, last).map((row, i) => html`<tr key=${rowKey(row)} aria-rowindex=${isLong ? first + i + 2 : null}>
      ${columns.map((column) => html`<td class="${column.number ? "number" : ""} ${column.wide ? "wide" : ""} ${column.bad?.(row) ? "bad" : ""}" data-name=${column.name}>${column.show(row)}</td>`)}</tr>`)}
      ${space(ordered.length - last, "below")}</tbody></table></div>${isLong && html`<p class="note">${whole(ordered.length)} rows</p>`}`;
}
