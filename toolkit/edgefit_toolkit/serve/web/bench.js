// Times both models in this browser and posts the raw samples.

import { loadLiteRt, loadAndCompile, Tensor } from "../litert/core.js";
import { threadCount } from "../model.js";

const WARMUPS = 10, MIN_SAMPLES = 50, MIN_MS = 1500, MAX_SAMPLES = 1000, BLOCK = 10;
const byId = (id) => document.getElementById(id);

function say(state, detail = "") {
  byId("state").textContent = state;
  byId("detail").textContent = detail;
}

async function start() {
  byId("start").disabled = true;
  byId("problem").hidden = true;
  byId("results").replaceChildren();
  try {
    if (typeof WebAssembly === "undefined") throw new Error("this browser has no WebAssembly");
    const facts = await (await fetch("facts.json")).json();
    let threads = threadCount();
    say("Loading…");
    threads = await loadRuntime(threads);
    const models = [];
    for (const { name, file, sha256, dtype } of facts.models) {
      const bytes = new Uint8Array(await (await fetch(file)).arrayBuffer());
      const compiled = await loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
      models.push({ name, sha256, compiled, input: noise(dtype, facts), shape: [1, facts.resolution_px, facts.resolution_px, 3], samples: [] });
    }
    for (const model of models) for (let i = 0; i < WARMUPS; i++) await once(model);
    // Blocks in turn, so that a device that gets warm does so for both.
    while (models.some(needsMore)) {
      for (const model of models) {
        if (!needsMore(model)) continue;
        for (let i = 0; i < BLOCK; i++) model.samples.push(await once(model));
      }
      say("Measuring…", models.map((m) => `${m.name}: ${m.samples.length} samples`).join(", "));
      await new Promise((resolve) => setTimeout(resolve, 0)); // let the page show it
    }
    for (const model of models) await send(model, threads, facts.runtime);
    say("Done: the samples have arrived.", `${threads} thread${threads === 1 ? "" : "s"}; ${crossOriginIsolated ? "" : "not "}cross-origin isolated`);
    document.documentElement.dataset.bench = "done";
  } catch (error) {
    say("Not measured");
    byId("problem").textContent = error.message;
    byId("problem").hidden = false;
  } finally {
    byId("start").disabled = false;
  }
}

let runtimeThreads = 0;

async function loadRuntime(threads) {
  if (runtimeThreads) return runtimeThreads;
  try {
    await loadLiteRt("../litert/wasm/", threads > 1 ? { threads: true } : {});
  } catch (error) {
    if (threads === 1) throw error;
    threads = 1; // an older browser without relaxed SIMD
    await loadLiteRt("../litert/wasm/");
  }
  return (runtimeThreads = threads);
}

const needsMore = ({ samples }) =>
  samples.length < MAX_SAMPLES &&
  (samples.length < MIN_SAMPLES || samples.reduce((total, ms) => total + ms, 0) < MIN_MS);

function noise(dtype, { resolution_px, mean, std }) {
  const bytes = new Uint8Array(resolution_px * resolution_px * 3);
  for (let i = 0, x = 1; i < bytes.length; i++) bytes[i] = (x = (x * 48271) % 2147483647) & 255; // seeded: repeats
  return dtype === "uint8" ? bytes : Float32Array.from(bytes, (byte) => (byte - mean) / std);
}

async function once({ compiled, input, shape }) {
  const tensor = new Tensor(input, shape);
  const started = performance.now();
  const results = await compiled.run(tensor);
  const ms = performance.now() - started;
  for (const result of results) result.delete();
  tensor.delete();
  return ms;
}

async function send({ name, sha256, samples }, threads, runtime) {
  const response = await fetch("samples", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      schema: "edgefit.web-bench/1", model: name, model_sha256: sha256, runtime, threads, warmups: WARMUPS,
      cross_origin_isolated: crossOriginIsolated, user_agent: navigator.userAgent.slice(0, 400), samples_ms: samples,
    }),
  });
  if (!response.ok) throw new Error(`the computer did not take the samples: ${(await response.text()).trim()}`);
  const sorted = samples.toSorted ? samples.toSorted((a, b) => a - b) : [...samples].sort((a, b) => a - b);
  const item = document.createElement("li");
  item.textContent = `${name}: p50 ${sorted[sorted.length >> 1].toFixed(1)} ms, p90 ${sorted[Math.floor(sorted.length * 0.9)].toFixed(1)} ms, ${samples.length} samples`;
  byId("results").append(item);
}

byId("start").addEventListener("click", start);
byId("start").disabled = false;
