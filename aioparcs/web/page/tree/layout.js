// Where the parts of the tree of a job are: the runner, groups of workers, and channels between peers.

const DOT = 15, TITLE = 22, PAD = 9, COLUMN = 108, GAP = 14, WIDE = 8, BAR = 132;

/** Return groups of workers: those of one module that the same worker, or the runner, has started. */
export function groupsOf(workers, isWhole) {
  const groups = new Map();
  const byNumber = new Map(workers.map((one) => [one.number, one]));
  for (const worker of workers) {
    const parent = byNumber.has(worker.parent) ? worker.parent : null;
    const from = parent === null ? null : isWhole ? parent : byNumber.get(parent).module;
    const key = JSON.stringify([from, worker.module]);
    if (!groups.has(key)) groups.set(key, { key, module: worker.module, from, workers: [], children: [] });
    groups.get(key).workers.push(worker);
  }
  return [...groups.values()];
}

function connect(groups, isWhole) {
  const roots = [];
  for (const group of groups) {
    const parent = group.from === null ? null : groups.find((one) => one !== group && (isWhole ? one.workers.some((worker) => worker.number === group.from) : one.module === group.from));
    if (parent && !isInside(parent, group)) parent.children.push(group);
    else roots.push(group);
  }
  return roots;
}

/** Return whether a group is below another one: two modules may start each other. */
function isInside(one, group) {
  return one === group || group.children.some((child) => isInside(one, child));
}

function size(group, isWhole) {
  if (!isWhole) return { width: BAR + 2 * PAD, height: TITLE + 34 };
  const columns = Math.min(WIDE, Math.max(1, group.workers.length)), rows = Math.ceil(group.workers.length / columns);
  return { width: Math.max(96, columns * DOT + 2 * PAD), height: TITLE + rows * DOT + PAD };
}

/** Return {width, height, runner, groups, edges, dots}: all places of a tree, and where each worker is. */
export function layout(workers, isWhole) {
  const groups = groupsOf(workers, isWhole), roots = connect(groups, isWhole);
  const dots = new Map(), edges = [], widths = [];
  const measure = (group, depth) => {
    Object.assign(group, size(group, isWhole), { depth });
    widths[depth] = Math.max(widths[depth] || 0, group.width);
    for (const child of group.children) measure(child, depth + 1);
  };
  for (const root of roots) measure(root, 0);
  const left = widths.map((_, depth) => COLUMN + widths.slice(0, depth).reduce((sum, width) => sum + width + 56, 0));
  const place = (group, top) => {
    let bottom = top;
    for (const child of group.children) bottom = place(child, bottom) + GAP;
    const used = Math.max(group.height, bottom - GAP - top);
    Object.assign(group, { x: left[group.depth], y: top + (used - group.height) / 2 });
    return top + used;
  };
  let bottom = 8;
  for (const root of roots) bottom = place(root, bottom) + GAP;
  const height = Math.max(70, bottom - GAP + 8), runner = { x: 8, y: height / 2 - 17, width: 64, height: 34 };
  for (const group of groups) if (isWhole) placeDots(group, dots);
  for (const group of groups) edges.push(edge(group, groups, runner, dots));
  return { width: Math.max(...groups.map((one) => one.x + one.width), 80) + 8, height, runner, groups, edges, dots };
}

function placeDots(group, dots) {
  group.workers.forEach((worker, i) => dots.set(worker.number, { x: group.x + PAD + (i % WIDE) * DOT + DOT / 2, y: group.y + TITLE + Math.floor(i / WIDE) * DOT + DOT / 2 }));
}

function edge(group, groups, runner, dots) {
  const parent = groups.find((one) => one.children.includes(group));
  const start = parent ? (dots.get(group.from) ?? { x: parent.x + parent.width, y: parent.y + parent.height / 2 }) : { x: runner.x + runner.width, y: runner.y + runner.height / 2 };
  const end = { x: group.x, y: group.y + group.height / 2 }, middle = (Math.max(start.x, end.x - 56) + end.x) / 2;
  return { key: group.key, path: `M${start.x} ${start.y}C${middle} ${start.y} ${middle} ${end.y} ${end.x} ${end.y}`, workers: group.workers };
}
