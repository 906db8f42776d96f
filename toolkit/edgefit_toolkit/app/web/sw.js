// Keeps the app on the device, so that it works without a network after the first visit. The build fills in VERSION (a
// hash of every file) and FILES; a new version replaces the old cache as a whole.

const VERSION = "{{VERSION}}";
const FILES = {{FILES}};
const CACHE = `edgefit-${VERSION}`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE)
      .then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" }))))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(
        names.filter((name) => name.startsWith("edgefit-") && name !== CACHE).map((name) => caches.delete(name)),
      ))
      .then(() => self.clients.claim()),
  );
});

// The page names what it loaded before this worker watched: the WebAssembly files of this browser.
self.addEventListener("message", (event) => {
  if (!Array.isArray(event.data?.keep)) return;
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    let complete = true;
    for (const url of event.data.keep) {
      if (!url.startsWith(self.registration.scope) || (await cache.match(url, { ignoreSearch: true }))) continue;
      try {
        await cache.add(url);
      } catch {
        complete = false; // the quota is full, or the network went: the app still works online
      }
    }
    event.ports[0]?.postMessage(complete);
  })());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(self.registration.scope)) return;
  event.respondWith((async () => {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    try {
      const fresh = await fetch(request);
      if (fresh.ok && fresh.type === "basic") await cache.put(request, fresh.clone());
      return fresh;
    } catch (error) {
      if (request.mode === "navigate") {
        const page = await cache.match("./");
        if (page) return page;
      }
      throw error;
    }
  })());
});
