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

/** The three likeliest classes, and whether the first is sure enough to be named. */
export function judge(scores, labels, threshold) {
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b).slice(0, 3);
  const top = order.map((index) => ({ ...labels[index], score: scores[index] }));
  return { top, sure: top[0].score >= threshold };
}

/** 0.934 -> "93%"; never "0%" or "100%" of something uncertain. */
export function percent(share) {
  if (share > 0 && share < 0.005) return "<1%";
  if (share > 0.995 && share < 1) return ">99%";
  return `${Math.round(100 * share)}%`;
}
