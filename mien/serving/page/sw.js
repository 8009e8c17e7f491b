// The page works with its server dead: everything it needs is kept, and asked of the server first.
// Only what the page itself consists of is kept; no picture and no answer ever is.
const CACHE = "mien-page";
const FILES = [
  "./", "app.mjs", "theme.css", "layout.css", "parts.css", "icon.svg", "app.webmanifest", "check.png",
  "about.mjs", "boxes.mjs", "camera.mjs", "cuts.mjs", "dom.mjs", "engine.mjs", "export.mjs", "face_card.mjs", "files.mjs", "focus.mjs", "label.mjs", "live_card.mjs", "live_view.mjs",
  "people.mjs", "pictures.mjs", "samples.mjs", "session.mjs", "settings.mjs", "state.mjs", "strip.mjs", "teach.mjs", "timeline.mjs", "track.mjs", "video.mjs",
  "recognize/align.mjs", "recognize/classify.mjs", "recognize/detect.mjs", "recognize/pixels.mjs",
  "recognize/pose.mjs", "recognize/quality.mjs", "recognize/recognizer.mjs", "recognize/rule.mjs", "recognize/views.mjs", "recognize/worker.mjs",
  "samples/angry.svg", "samples/fear.svg", "samples/group.svg", "samples/happy.svg", "samples/neutral.svg",
  "samples/sad.svg", "samples/surprise.svg",
  "vendor/ort/ort.wasm.min.mjs", "vendor/ort/ort-wasm-simd-threaded.mjs", "vendor/ort/ort-wasm-simd-threaded.wasm",
  "vendor/uplot/uPlot.esm.js", "vendor/uplot/uPlot.min.css",
];
// Of a server that asks for a token these are kept when the page asks for them.
const MODEL = ["v1/model", "v1/model/device", "v1/model/model.onnx", "v1/model/detector.onnx"];
const KEPT = new Set([...FILES, ...MODEL].map((name) => new URL(name, self.registration.scope).href));

self.addEventListener("install", (event) => {
  event.waitUntil(fill().then(() => self.skipWaiting()));
});

async function fill() {
  const cache = await caches.open(CACHE);
  await Promise.allSettled(MODEL.map((name) => cache.add(name)));
  await cache.addAll(FILES);
}

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && KEPT.has(event.request.url.split(/[?#]/)[0])) event.respondWith(newest(event.request));
});

async function newest(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(request, answer.clone());
    return answer;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}
