// Two ways to look at a picture with one interface: in this page's own worker, or by the server's API.
// Only `Server` sends pictures, and it counts each one.
import { priorText, ruleUnder } from "./recognize/rule.mjs";
import { state, tell } from "./state.mjs";

const RETRIES = 3;
const JPEG_QUALITY = 0.92;

export class Trouble extends Error {
  constructor(message, { hint = "", code = "failed" } = {}) {
    super(message);
    Object.assign(this, { hint, code });
  }
}

// The worker that decodes, cuts and, once started, recognises.
class Helper {
  constructor() {
    this.calls = new Map();
    this.next = 0;
    this.worker = new Worker(new URL("./recognize/worker.mjs", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, value, error } }) => {
      const { resolve, reject } = this.calls.get(id);
      this.calls.delete(id);
      if (error) reject(new Trouble(error.message, { code: error.code }));
      else resolve(value);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.calls.values()) reject(new Trouble("The worker of this page could not start."));
      this.calls.clear();
    };
  }

  call(task, value, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.calls.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, value }, transfer);
    });
  }
}

const helper = new Helper();
const absolute = (path) => new URL(path, document.baseURI).href;

export const useModel = (document) => helper.call("model", document);

export const device = {
  place: "device",
  started: null, // a promise: the self-test's result

  start() {
    this.started ??= helper.call("start", {
      detectorUrl: absolute("v1/model/detector.onnx"),
      networkUrl: absolute("v1/model/model.onnx"),
      checkUrl: absolute("check.png"),
      headers: authorization(),
    });
    this.started.catch(() => {});
    return this.started;
  },

  // picture: Blob or ImageBitmap (which is given away). -> {frame, crops, ms}
  async faces(picture, settings) {
    await this.start();
    return helper.call("faces", { picture, settings }, picture instanceof ImageBitmap ? [picture] : []);
  },
};

export const server = {
  place: "server",
  sent: 0,

  async faces(picture, settings) {
    const began = performance.now();
    const blob = picture instanceof Blob ? picture : await jpegOf(picture);
    const limit = state.server?.limits?.max_bytes;
    if (limit && blob.size > limit) {
      throw new Trouble(`got ${megabytes(blob.size)}; expected at most ${megabytes(limit)}.`, {
        code: "too-large",
        hint: "Make the picture smaller, or switch to “On this device”.",
      });
    }
    const frame = await this.ask(`v1/faces?${queryOf(settings)}`, { method: "POST", body: blob }, true);
    const ms = performance.now() - began;
    return { frame, crops: await cropsOf(blob, frame.faces), ms };
  },

  // Keep the crop of a face under a person's word for it.
  async teach(crop, label) {
    return this.ask(`v1/teach?${new URLSearchParams({ label })}`, { method: "POST", body: crop }, true);
  },

  async takeBack(id) {
    return this.ask(`v1/teach/${encodeURIComponent(id)}`, { method: "DELETE" });
  },

  // A busy server says when to come again; a person waits less than a program would.
  async ask(path, options = {}, isPicture = false) {
    for (let attempt = 0; ; attempt++) {
      if (isPicture) {
        this.sent += 1;
        tell("sent", this.sent);
      }
      const answer = await request(path, options);
      if (answer.status === 503 && attempt < RETRIES) {
        await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(5, Number(answer.headers.get("Retry-After")) || 1)));
        continue;
      }
      if (!answer.ok) throw await troubleOf(answer);
      return answer.status === 204 ? null : answer.json();
    }
  },
};

const authorization = () => (state.token ? { Authorization: `Bearer ${state.token}` } : {});

// As fetch, with the server's token where it asked for one.
export async function request(path, options = {}) {
  try {
    const answer = await fetch(path, { ...options, headers: authorization() });
    tell("offline", false);
    return answer;
  } catch {
    tell("offline", true);
    throw new Trouble("The server does not answer.", { code: "offline", hint: "Check that it still runs, or switch to “On this device”." });
  }
}

async function troubleOf(answer) {
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    // Not ours: a proxy's page, say.
  }
  return new Trouble(problem.detail ?? `The server answered ${answer.status}.`, {
    code: problem.code ?? String(answer.status),
    hint: problem.hint ?? "",
  });
}

function queryOf({ mode, maxSide, prior }) {
  const query = new URLSearchParams({ mode });
  if (maxSide) query.set("max_side", Math.min(maxSide, state.server?.limits?.max_side_px ?? maxSide));
  if (prior) query.set("prior", typeof prior === "string" ? prior : priorText(prior));
  return query;
}

// What the network saw of faces that a server found, cut here; null where this browser cannot decode.
export function cornersOf(box, landmarks) {
  return helper.call("corners", { box, landmarks });
}

async function cropsOf(blob, faces) {
  if (!faces.length || !state.model) return null;
  try {
    return await helper.call("crops", { picture: blob, faces: faces.map(({ box, landmarks }) => ({ box, landmarks })) });
  } catch {
    return null;
  }
}

async function jpegOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: JPEG_QUALITY });
}

const megabytes = (bytes) => `${(bytes / 1_048_576).toFixed(1)} MiB`;

// What the settings ask of a recogniser, now.
export function asked() {
  const { mode, maxSide, prior, ownPrior } = state.settings;
  return { mode, maxSide, prior: prior === "own" ? ownPrior : prior };
}

// The name of the prior in use, and the least probability that may be relied on under it.
export function ruleInUse() {
  return state.model ? ruleUnder(asked().prior, state.model) : { prior: "", certain_from: 0.5 };
}

export const engine = () => (state.settings.place === "server" ? server : device);
