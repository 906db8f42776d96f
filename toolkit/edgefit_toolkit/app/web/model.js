// The model on LiteRT.js (WebAssembly, XNNPACK). All files are local; nothing is fetched from elsewhere.

import { loadLiteRt, loadAndCompile, Tensor } from "./litert/core.js";

/** Threads need SharedArrayBuffer, which browsers give only to cross-origin isolated pages. */
export function threadCount() {
  if (!globalThis.crossOriginIsolated || typeof SharedArrayBuffer === "undefined") return 1;
  return Math.max(1, Math.min(4, navigator.hardwareConcurrency || 1));
}

/** Loads runtime and model once. Resolves to {run, threads}; `run(bytes)` gives {scores, ms}. */
export async function loadModel(facts, base = "./") {
  let threads = threadCount();
  if (threads > 1) {
    try {
      await loadLiteRt(`${base}litert/wasm/`, { threads: true });
    } catch (error) {
      console.warn("no threads:", error); // an older browser without relaxed SIMD: one thread works there
      threads = 1;
      await loadLiteRt(`${base}litert/wasm/`);
    }
  } else {
    await loadLiteRt(`${base}litert/wasm/`);
  }
  const response = await fetch(`${base}${facts.model.file}`);
  if (!response.ok) throw new Error(`${facts.model.file}: HTTP ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
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
