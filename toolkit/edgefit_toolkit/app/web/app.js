// The page: a photograph or the camera in, three names with honest confidence out.

import { called, judge, parseLabels } from "./answer.js";
import { decode, prepare } from "./preprocess.js";
import { clear, headline, listClasses, offerPlaces, showAnswer } from "./view.js";

const byId = (id) => document.getElementById(id);
const CAMERA_PAUSE_MS = 150; // between two frames: cool phone, steady words

const ui = {
  photo: byId("photo"), video: byId("video"), frame: byId("frame"), empty: byId("empty"), stage: byId("stage"),
  choose: byId("choose"), camera: byId("camera"), file: byId("file"), problem: byId("problem"),
  headline: byId("headline"), sureness: byId("sureness"), advice: byId("advice"), alike: byId("alike"), top: byId("top"),
  timing: byId("timing"), state: byId("state"), places: byId("places"), region: byId("region"), month: byId("month"),
};

let facts, labels, model;
let how; // answer.json: from scores to an answer
let here = {}; // region and month, where they were chosen
let latest = null; // what the model last said of a picture
let stream = null;
let shownUrl = null;
let turn = 0; // a newer picture makes older work stop

function say(problem) {
  ui.problem.textContent = problem;
  ui.problem.hidden = problem === "";
}

function show({ scores, timing }) {
  latest = { scores, timing };
  showAnswer(ui, judge(scores, labels, how, here), how, labels, timing);
}

async function classify(source) {
  const started = performance.now();
  const pixels = prepare(source, facts);
  const prepareMs = performance.now() - started;
  const { scores, ms } = await model.run(pixels);
  const threads = model.threads === 1 ? "1 thread" : `${model.threads} threads`;
  return { scores, timing: `Model ${ms.toFixed(0)} ms, preparing the picture ${prepareMs.toFixed(0)} ms, in this browser (${threads}).` };
}

async function classifyFile(file) {
  stopCamera();
  const mine = ++turn;
  say("");
  if (!model) return;
  let bitmap;
  try {
    bitmap = await decode(file);
  } catch {
    say(`${file.name || "This file"} is not a picture that this browser can read. Use a JPEG, PNG or WebP file.`);
    return;
  }
  if (mine !== turn) return bitmap.close();
  if (shownUrl) URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(file);
  ui.photo.src = shownUrl;
  ui.photo.hidden = false;
  ui.empty.hidden = true;
  headline(ui, "Looking…");
  await new Promise((resolve) => setTimeout(resolve, 20)); // let the picture appear first
  try {
    const said = await classify(bitmap);
    if (mine === turn) show(said);
  } catch (error) {
    say(`The model could not look at this picture: ${error.message}`);
  } finally {
    bitmap.close();
  }
}

function cameraProblem(error) {
  if (!window.isSecureContext) {
    return "The camera needs a secure page (https, or localhost). Choose a photo instead, or open this page over https.";
  }
  const words = {
    NotAllowedError: "The camera was not allowed. Allow it in the browser's settings for this page, or choose a photo.",
    NotFoundError: "No camera was found. Choose a photo instead.",
    NotReadableError: "Another app is using the camera. Close it and try again, or choose a photo.",
  };
  return words[error?.name] ?? "This browser gives no camera to pages. Choose a photo instead.";
}

async function startCamera() {
  say("");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch (error) {
    stream = null;
    say(cameraProblem(error));
    return;
  }
  const mine = ++turn;
  ui.video.srcObject = stream;
  await ui.video.play();
  ui.video.hidden = ui.frame.hidden = false;
  ui.stage.classList.add("live");
  ui.photo.hidden = ui.empty.hidden = true;
  ui.camera.textContent = "Stop camera";
  ui.camera.setAttribute("aria-pressed", "true");
  while (stream && mine === turn) {
    if (ui.video.videoWidth > 0 && !document.hidden) {
      const said = await classify(ui.video);
      if (mine !== turn) break;
      show(said);
    }
    await new Promise((resolve) => setTimeout(resolve, CAMERA_PAUSE_MS));
  }
}

function stopCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  turn++;
  ui.video.srcObject = null;
  ui.video.hidden = ui.frame.hidden = true;
  ui.stage.classList.remove("live");
  ui.photo.hidden = true;
  ui.empty.hidden = false;
  clear(ui);
  latest = null;
  ui.camera.textContent = "Live camera";
  ui.camera.setAttribute("aria-pressed", "false");
}

function wire() {
  ui.choose.addEventListener("click", () => ui.file.click());
  ui.file.addEventListener("change", () => {
    if (ui.file.files[0]) classifyFile(ui.file.files[0]);
    ui.file.value = ""; // the same file may be chosen again
  });
  ui.camera.addEventListener("click", () => (stream ? stopCamera() : startCamera()));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    ui.stage.classList.add("over");
  });
  addEventListener("dragleave", () => ui.stage.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    ui.stage.classList.remove("over");
    if (event.dataTransfer.files[0]) classifyFile(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((item) => item.type.startsWith("image/"));
    if (file) classifyFile(file);
  });
  addEventListener("pagehide", stopCamera);
}

async function describe() {
  const responses = await Promise.all(["app.json", "labels.txt", "answer.json"].map((name) => fetch(name)));
  if (!responses.every(({ ok }) => ok)) throw new Error("a file of this app is missing on the server");
  facts = await responses[0].json();
  how = await responses[2].json();
  labels = parseLabels(await responses[1].text()).map((label, i) => ({
    ...label, common: called(how.nodes[i], navigator.languages, label.common),
  }));
  document.title = facts.title;
  byId("title").textContent = facts.title;
  const seen = facts.resolution_px / (facts.resolution_px + facts.crop_padding_px);
  ui.frame.style.height = `${100 * seen}%`; // the square that the model sees of the camera's picture
  byId("drawn").hidden = facts.data_kind !== "drawn";
  listClasses(byId("nameable"), byId("classes"), labels, how);
  offerPlaces(ui, how, (chosen) => {
    here = chosen;
    if (latest) show(latest);
  });
  byId("about").textContent = facts.about;
}

/** Once through everything before anybody waits for it: code is compiled, weights are packed for the processor. */
async function warmUp() {
  const blank = document.createElement("canvas");
  blank.width = blank.height = 2 * facts.resolution_px;
  await classify(blank);
}

async function keepOffline() {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    const registration = await navigator.serviceWorker.ready;
    // The runtime's file differs between browsers: whatever this one loaded is kept.
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const channel = new MessageChannel();
    const kept = new Promise((resolve) => (channel.port1.onmessage = ({ data }) => resolve(data)));
    registration.active.postMessage({ keep: loaded }, [channel.port2]);
    if (await kept) {
      ui.state.textContent = "The picture stays on this device. Ready to work offline.";
      document.documentElement.dataset.offline = "ready";
    }
  } catch (error) {
    console.warn("not available offline:", error); // private windows and plain http: the app works all the same
  }
}

async function start() {
  wire();
  ui.choose.disabled = ui.camera.disabled = true;
  if (typeof WebAssembly === "undefined") {
    ui.headline.textContent = "This browser cannot run the model";
    say("WebAssembly is missing or switched off. Use a current Chrome, Edge, Firefox or Safari.");
    return;
  }
  try {
    const code = import("./model.js"); // the runtime loads while the page reads what the model is
    const runtime = code.then(({ loadRuntime }) => loadRuntime());
    runtime.catch(() => {}); // told below
    await describe();
    model = await (await code).loadModel(facts, "./", runtime);
    await warmUp();
  } catch (error) {
    ui.headline.textContent = "The model did not load";
    say(`${error.message}. Load the page again; if that does not help, the server may not serve .wasm files.`);
    return;
  }
  ui.choose.disabled = ui.camera.disabled = false;
  ui.headline.textContent = "Ready";
  document.documentElement.dataset.model = "ready";
  await keepOffline();
}

start();
