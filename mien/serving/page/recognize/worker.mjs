// The worker in which pictures are decoded, cropped and, in device mode, recognised: one message in, one
// out with the same id. Nothing here sends a picture anywhere.
import { cutOut, square } from "./align.mjs";
import { decode, noteOf } from "./pixels.mjs";
import { Recognizer } from "./recognizer.mjs";

let model = null; // the device document
let recognizer = null;

const tasks = {
  // What the browser needs to know of the model; without networks it only cuts thumbnails.
  async model(document) {
    model = document;
    return null;
  },

  // Start both networks and prove them: goldens within their tolerance, a known picture read back exactly.
  async start({ detectorUrl, networkUrl, checkUrl, headers }) {
    const ort = await import("../vendor/ort/ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = new URL("../vendor/ort/", import.meta.url).href;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const open = async (url) => ort.InferenceSession.create(new Uint8Array(await bytesOf(url, headers)), { executionProviders: ["wasm"] });
    recognizer = new Recognizer(ort, await open(detectorUrl), await open(networkUrl), model);
    const golden = await recognizer.replayGoldens();
    const tolerance = Math.max(1e-4, model.golden.tolerance);
    if (!(golden <= tolerance)) {
      throw new Error(`The self-test failed: got probabilities that differ by ${golden.toExponential(1)}; expected at most ${tolerance}.`);
    }
    const wrong = await wrongPixels(checkUrl);
    if (wrong) {
      throw new Error(`The self-test failed: this browser changes the pixels of pictures that a page reads (${wrong} of 256), often a privacy setting.`);
    }
    return { golden, pixels: "exact" };
  },

  async faces({ picture, settings }) {
    const began = performance.now();
    const image = await decode(picture, model.max_pixels);
    const result = await recognizer.faces(image, settings);
    if (picture instanceof Blob) result.frame.note = await noteOf(picture);
    return { ...result, ms: performance.now() - began };
  },

  // Where a crop's corners lie in the picture.
  async corners({ box, landmarks }) {
    return square(box, landmarks, model.geometry);
  },

  // The squares that a network sees, for faces that a server found. faces: [{box, landmarks}]
  async crops({ picture, faces }) {
    const image = await decode(picture);
    return faces.map(({ box, landmarks }) => cutOut(image, square(box, landmarks, model.geometry), model.input.side));
  },
};

// check.png holds (73 i + 151 c + i * i) mod 256 at pixel i, channel c.
async function wrongPixels(url) {
  const { data } = await decode(new Blob([await bytesOf(url)], { type: "image/png" }));
  let wrong = data.length === 1024 ? 0 : 256;
  for (let i = 0; i < 256; i++) {
    for (let c = 0; c < 3; c++) {
      if (data[4 * i + c] !== (73 * i + 151 * c + i * i) % 256) {
        wrong += 1;
        break;
      }
    }
  }
  return wrong;
}

async function bytesOf(url, headers = {}) {
  const answer = await fetch(url, { headers });
  if (!answer.ok) throw new Error(`got ${answer.status} for ${new URL(url).pathname}; expected a file.`);
  return answer.arrayBuffer();
}

self.onmessage = async ({ data: { id, task, value } }) => {
  try {
    self.postMessage({ id, value: await tasks[task](value) });
  } catch (error) {
    self.postMessage({ id, error: { message: error.message, code: error.code ?? "failed" } });
  }
};
