// What the scores mean, in words.

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

/**
 * The node of answer.json's tree that answers, null when none is sure enough: scores are summed up the tree, and the
 * likeliest node of the finest rank whose threshold its sum meets is taken. A rank without a threshold never answers.
 */
export function rollUp(scores, { ranks, thresholds, nodes }) {
  const sums = new Float64Array(nodes.length);
  sums.set(scores);
  nodes.forEach(({ parent }, at) => {
    if (parent >= 0) sums[parent] += sums[at]; // a parent stands behind its children
  });
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

/** The three likeliest classes, whether the app is sure, and of what: the first of them, or a coarser node of a tree. */
export function judge(scores, labels, threshold, tree = null) {
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b).slice(0, 3);
  const top = order.map((index) => ({ ...labels[index], score: scores[index] }));
  if (tree === null) return { top, sure: top[0].score >= threshold, coarser: null };
  const answer = rollUp(scores, tree);
  return { top, sure: answer !== null, coarser: answer !== null && answer.rank !== tree.ranks[0] ? answer : null };
}

/** 0.934 -> "93%"; never "0%" or "100%" of something uncertain. */
export function percent(share) {
  if (share > 0 && share < 0.005) return "<1%";
  if (share > 0.995 && share < 1) return ">99%";
  return `${Math.round(100 * share)}%`;
}
