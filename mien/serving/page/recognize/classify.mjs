// Crops to calibrated probabilities: the network in ONNX Runtime, temperatures, and the rule that makes
// one answer of several heads (mien.bundle.classifier). All numbers come from the device document.
import { viewsOf } from "./views.mjs";

const MAX_BATCH = 64;
const fround = Math.fround;

export const TEMPERATURE = { fast: "temperature", best: "temperature_best" };

// Logits [K] / temperature -> probabilities [K]; computed in double, kept as float32 like the library's.
export function softmax(logits, temperature = 1) {
  const scaled = logits.map((value) => value / temperature);
  const most = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => fround(value / total));
}

// crops: Uint8Array(side * side) each -> head name -> array of logits [K] a crop.
export async function logits(ort, session, crops, model, mode = "fast") {
  const { side } = model.input;
  const pixels = side * side;
  const out = Object.fromEntries(model.heads.map((head) => [head.name, []]));
  const views = mode === "best" ? viewsOf(side, model.views) : null;
  const perCrop = views ? views.length : 1;
  const step = Math.max(1, Math.floor(MAX_BATCH / perCrop));
  for (let start = 0; start < crops.length; start += step) {
    const batch = crops.slice(start, start + step);
    const input = new Float32Array(batch.length * perCrop * pixels);
    batch.forEach((crop, i) => {
      if (views) views.forEach((view, v) => view(crop, input.subarray((i * perCrop + v) * pixels)));
      else input.set(crop, i * pixels);
    });
    const shape = [batch.length * perCrop, side, side, 1];
    const answers = await session.run({ [model.input.name]: new ort.Tensor("float32", input, shape) });
    for (const head of model.heads) {
      const data = answers[head.output].data;
      const k = head.labels.length;
      for (let i = 0; i < batch.length; i++) {
        const mean = new Array(k).fill(0);
        for (let v = 0; v < perCrop; v++) {
          for (let j = 0; j < k; j++) mean[j] += data[(i * perCrop + v) * k + j] / perCrop;
        }
        out[head.name].push(mean);
      }
      answers[head.output].dispose?.();
    }
  }
  return out;
}

// Logits of one crop -> {heads: name -> probabilities, shown: probabilities of the answer}.
export function answer(found, model, mode) {
  const heads = {};
  for (const head of model.heads) heads[head.name] = softmax(found[head.name], head[TEMPERATURE[mode]]);
  return { heads, shown: shownAnswer(heads, model, mode) };
}

// The weighted mean of what the heads say about the labels of the first, calibrated.
function shownAnswer(heads, model, mode) {
  const { labels } = model.heads[0];
  const mixed = new Array(labels.length).fill(0);
  for (const head of model.heads) {
    const share = model.answer.weights[head.name] ?? 0;
    if (!share) continue;
    const known = labels.map((name) => heads[head.name][head.labels.indexOf(name)]);
    const total = Math.max(1e-9, known.reduce((a, b) => a + b, 0));
    known.forEach((value, i) => {
      mixed[i] = fround(mixed[i] + fround((share * value) / total));
    });
  }
  const temperature = model.answer[TEMPERATURE[mode]];
  return temperature === 1 ? mixed : softmax(mixed.map((p) => Math.log(p + 1e-9)), temperature);
}
