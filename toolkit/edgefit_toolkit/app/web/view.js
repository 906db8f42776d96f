// The answer on the page: a headline, how sure it is, what looks like it, the closest guesses, what can be named.

import { called, confidence, percent } from "./answer.js";

const OTHER = "This looks like nothing that this app knows. Closest guesses below; they are likely wrong.";
const UNSURE = "Closest guesses below. Try a nearer, sharper picture with one subject in the middle.";
const COARSE = "Which one of them is not sure. Closest guesses below.";
const SELDOM = "Seldom seen here";

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** A name may be written in either direction: it must not turn the words around it. */
const bdi = (name) => element("bdi", "", name);

/** A live region speaks on every change: children are only replaced when the words differ. */
function say(region, ...children) {
  const words = children.map((child) => child.textContent ?? child).join("");
  if (region.textContent !== words) region.replaceChildren(...children);
  region.hidden = words === "";
}

export function headline(ui, words) {
  say(ui.headline, words);
  delete ui.headline.dataset.sure;
}

/** Puts what judge() found on the page; `how` is answer.json. */
export function showAnswer(ui, { top, other, answer, isClass, seldom, alike }, how, labels, timing) {
  if (answer === null) {
    say(ui.headline, other ? "None of these" : "Not sure");
    say(ui.advice, other ? OTHER : UNSURE);
    say(ui.sureness);
  } else {
    const node = how.nodes[answer.node];
    const name = isClass ? labels[answer.node].common : called(node, navigator.languages, node.name);
    say(ui.headline, bdi(name), isClass ? "" : ` (${answer.rank})`);
    say(ui.sureness, `${confidence(answer.probability)}, ${percent(answer.probability)}${seldom ? `. ${SELDOM}.` : ""}`);
    say(ui.advice, isClass ? "" : COARSE);
  }
  ui.headline.dataset.sure = String(answer !== null);
  const names = alike.flatMap(({ common }, i) => (i ? [", ", bdi(common)] : [bdi(common)]));
  say(ui.alike, ...(names.length ? ["Looks much like: ", ...names, ". Compare them."] : []));
  ui.top.replaceChildren(...top.map(guess));
  ui.top.hidden = false;
  say(ui.timing, timing);
}

function guess({ common, scientific, label, score, seldom }) {
  const name = element("span", "name", bdi(common));
  if (scientific) {
    const latin = element("i", "", scientific);
    latin.lang = "la";
    name.append(" ", latin);
  }
  if (seldom) name.append(" ", element("span", "seldom", SELDOM));
  const fill = element("span", "");
  fill.style.width = `${100 * score}%`;
  const bar = element("span", "bar", fill);
  bar.setAttribute("aria-hidden", "true");
  const item = element("li", "", name, element("span", "share", percent(score)), bar);
  item.dataset.label = label;
  return item;
}

export function clear(ui) {
  ui.top.hidden = ui.timing.hidden = ui.advice.hidden = ui.sureness.hidden = ui.alike.hidden = true;
  headline(ui, "Ready");
}

/** What the app can name, by the coarsest rank where there is one; made when it is first opened. */
export function listClasses(details, list, labels, how) {
  const known = labels.map((_, label) => label).filter((label) => label !== how.other?.class);
  details.querySelector("summary").textContent = `What it can name (${known.length})`;
  details.addEventListener("toggle", () => {
    if (list.childElementCount) return;
    list.append(...known.map((label) => {
      const { common, scientific } = labels[label];
      const item = element("li", "", bdi(common), scientific ? ` (${scientific})` : "");
      return item;
    }));
  });
}

/** Region and month, where answer.json has places. Calls `changed` with {region, month}; null is any. */
export function offerPlaces(ui, { places }, changed) {
  if (!places) return;
  ui.places.hidden = false;
  ui.region.append(...places.regions.map((name) => new Option(name, name)));
  const month = new Intl.DateTimeFormat(navigator.languages, { month: "long" });
  ui.month.append(...Array.from({ length: 12 }, (_, at) => new Option(month.format(new Date(2024, at, 15)), at + 1)));
  const tell = () => changed({ region: ui.region.value || null, month: Number(ui.month.value) || null });
  for (const select of [ui.region, ui.month]) select.addEventListener("change", tell);
}
