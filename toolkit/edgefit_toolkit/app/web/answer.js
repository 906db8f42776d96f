// What the scores mean, in words: what answer.json says of a model's probabilities.

/** labels.txt: one class a line, `label [TAB common name [TAB scientific name]]`. */
export function parseLabels(text) {
  return text
    .split("\n")
    .map((line) => line.replace(/\r$/, ""))
    .filter((line) => line !== "")
    .map((line) => {
      const [label, common, scientific] = line.split("\t");
      return { label, common: common || label.replaceAll("_", " "), scientific: scientific || "" };
    });
}

/** The outputs to the file's power, brought to a sum of 1: the file may give roots, of which more fits its 256 steps. */
export function probabilities(outputs, { power = 1 }) {
  if (power === 1) return outputs;
  const raised = Float64Array.from(outputs, (output) => output * output);
  const sum = raised.reduce((total, value) => total + value, 0);
  return sum > 0 ? raised.map((value) => value / sum) : raised;
}

const nameable = (scores, { other }) => Float64Array.from(scores, (score, label) => (label === other?.class ? 0 : score));

/** What lies below each node of the tree, of one value a class: a parent stands behind its children. */
function sumUp(values, nodes) {
  const sums = new Float64Array(nodes.length);
  sums.set(values);
  nodes.forEach(({ parent }, at) => {
    if (parent >= 0) sums[parent] += sums[at];
  });
  return sums;
}

/** Whether no name is as certain as the floor: none of these. What lies outside a name of k of n classes is weighed by
 * (n - 1) / (n - k): a class keeps its probability, a name that holds them all says nothing. */
export function isOther(scores, how) {
  const n = scores.length;
  const sums = sumUp(nameable(scores, how), how.nodes), held = sumUp(nameable(new Uint8Array(n).fill(1), how), how.nodes);
  const certain = (sum, at) => 1 - (1 - Math.min(sum, 1)) * ((n - 1) / (n - held[at]));
  return !sums.some((sum, at) => held[at] > 0 && held[at] < n && certain(sum, at) >= (how.other?.floor ?? 0));
}

/** Of each class whether it has a place, but none of this region (null: any) and month (1 to 12; null: any). */
export function seldomHere(count, { places }, { region = null, month = null } = {}) {
  const listed = new Uint8Array(count), here = new Uint8Array(count);
  const at = places ? places.regions.indexOf(region) : -1; // -1, an unknown region, is any
  for (const [label, where, months] of places?.rows ?? []) {
    listed[label] = 1;
    if ((at < 0 || at === where) && (month === null || (months >> (month - 1)) & 1)) here[label] = 1;
  }
  return Array.from(listed, (one, label) => one === 1 && here[label] === 0);
}

/** Scores of the classes that can be named; those seldom seen here are lowered, and all brought to their old sum. */
export function weigh(scores, how, seldom = []) {
  const given = nameable(scores, how);
  if (!seldom.includes(true)) return given;
  const lowered = given.map((score, label) => score * (seldom[label] ? how.places.lowered : 1));
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const after = sum(lowered);
  const factor = after > 0 ? sum(given) / after : 1;
  return lowered.map((score) => score * factor);
}

/**
 * The node of the tree that answers, null when none is sure enough: scores are summed up the tree, and the likeliest
 * node of the finest rank whose threshold its sum meets is taken. A rank without a threshold never answers.
 */
export function rollUp(scores, { ranks, thresholds, nodes }) {
  const sums = sumUp(scores, nodes);
  for (const rank of ranks) {
    let best = -1, probability = -1;
    nodes.forEach((node, at) => {
      const sum = Math.min(sums[at], 1); // uint8 probabilities may add up to a little more
      if (node.rank === rank && sum > probability) [best, probability] = [at, sum];
    });
    if (probability >= thresholds[rank]) return { node: best, rank, name: nodes[best].name, probability };
  }
  return null;
}

/** What people call a node in the first of their languages that it has a name in; else `otherwise`. */
export function called({ names }, languages, otherwise) {
  const language = languages.flatMap((tag) => [tag, tag.split("-")[0]]).find((tag) => Object.hasOwn(names, tag));
  return language === undefined ? otherwise : names[language];
}

/**
 * The three likeliest classes, whether it is none of these, the node that answers (null: not sure), and the classes
 * that look like it. `here` may name a region and a month.
 */
export function judge(outputs, labels, how, here = {}) {
  const scores = probabilities(outputs, how);
  const seldom = seldomHere(scores.length, how, here);
  const weighed = weigh(scores, how, seldom);
  const order = [...weighed.keys()].filter((label) => label !== how.other?.class);
  order.sort((a, b) => weighed[b] - weighed[a] || a - b);
  const top = order.slice(0, 3).map((index) => ({ ...labels[index], score: weighed[index], seldom: seldom[index] }));
  const other = isOther(scores, how);
  const answer = other ? null : rollUp(weighed, how);
  const isClass = answer !== null && answer.rank === how.ranks[0];
  const alike = isClass ? (how.alike?.[answer.node] ?? []).map((index) => labels[index]) : [];
  return { top, other, answer, isClass, seldom: isClass && seldom[answer.node], alike };
}

/** 0.934 -> "93%"; never "0%" or "100%" of something uncertain. */
export function percent(share) {
  if (share > 0 && share < 0.005) return "<1%";
  if (share > 0.995 && share < 1) return ">99%";
  return `${Math.round(100 * share)}%`;
}

/** How sure an answer is. */
export function confidence(probability) {
  if (probability >= 0.95) return "Almost certain";
  return probability >= 0.8 ? "Very likely" : "Likely";
}
