// Crops to calibrated probabilities: the network in ONNX Runtime and temperatures (mien.bundle.classifier).
// All numbers come from the device document.
import { shownAnswer, softmax } from "./rule.mjs";
import { viewsOf } from "./views.mjs";

const MAX_BATCH = 64;

export const TEMPERATURE = { fast: "temperature", best: "temperature_best" };

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

// Logits of one crop -> {heads: name -> probabilities, shown: those of the answer under a rule}.
export function answer(found, model, mode, rule) {
  const heads = {};
  for (const head of model.heads) heads[head.name] = softmax(found[head.name], head[TEMPERATURE[mode]]);
  return { heads, shown: shownAnswer(heads, model, rule, rule[TEMPERATURE[mode]]) };
}
