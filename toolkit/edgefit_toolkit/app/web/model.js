// The model on LiteRT.js (WebAssembly, XNNPACK). All files are local; nothing is fetched from elsewhere.

import { loadLiteRt, loadAndCompile, Tensor } from "./litert/core.js";

/** Threads need SharedArrayBuffer, which browsers give only to cross-origin isolated pages. */
export function threadCount() {
  if (!globalThis.crossOriginIsolated || typeof SharedArrayBuffer === "undefined") return 1;
  return Math.max(1, Math.min(4, navigator.hardwareConcurrency || 1));
}

/** Loads the runtime, once. Resolves to how many threads it uses. */
export async function loadRuntime(base = "./") {
  const threads = threadCount();
  if (threads > 1) {
    try {
      await loadLiteRt(`${base}litert/wasm/`, { threads: true });
      return threads;
    } catch (error) {
      console.warn("no threads:", error); // an older browser without relaxed SIMD: one thread works there
    }
  }
  await loadLiteRt(`${base}litert/wasm/`);
  return 1;
}

async function fetchBytes(url, name) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${name}: HTTP ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Loads the model beside the runtime. Resolves to {run, threads}; `run(bytes)` gives {scores, ms}. */
export async function loadModel(facts, base = "./", runtime = loadRuntime(base)) {
  const { file } = facts.model;
  const [threads, bytes] = await Promise.all([runtime, fetchBytes(`${base}${file}`, file)]);
  const compiled = await loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
  const shape = [1, facts.resolution_px, facts.resolution_px, 3];
  const { scale, zero_point: zeroPoint } = facts.output;

  async function run(pixels) {
    const input = new Tensor(pixels, shape);
    const started = performance.now();
    const results = await compiled.run(input);
    const raw = results[0].toTypedArray();
    const ms = performance.now() - started;
    const scores = Float32Array.from(raw, (value) => (value - zeroPoint) * scale);
    const bytesOut = Uint8Array.from(raw);
    for (const tensor of results) tensor.delete();
    input.delete();
    return { scores, raw: bytesOut, ms };
  }
  return { run, threads };
}
