// How well a face can be seen, and when an answer should not be relied on: mien.vision.quality.
import { turnAside } from "./align.mjs";

// Standard deviation of values, their mean taken off.
function deviation(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((total, value) => total + (value - mean) ** 2, 0) / values.length);
}

// Laplacian [0 1 0; 1 -4 1; 0 1 0], the border mirrored without its edge, as OpenCV's default.
function laplacian(crop, side) {
  const at = (i) => (i < 0 ? -i : i >= side ? 2 * side - 2 - i : i);
  const out = new Float32Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const here = y * side + x;
      out[here] =
        crop[at(y - 1) * side + x] + crop[at(y + 1) * side + x] + crop[y * side + at(x - 1)] + crop[y * side + at(x + 1)] - 4 * crop[here];
    }
  }
  return out;
}

// The crop at 48 pixels, where sharpness is measured: means of whole blocks.
function at48(crop, side) {
  const factor = Math.floor(side / 48);
  if (factor < 2 || side % 48 !== 0) return [crop, side];
  const out = new Uint8Array(48 * 48);
  for (let y = 0; y < 48; y++) {
    for (let x = 0; x < 48; x++) {
      let sum = 0;
      for (let v = 0; v < factor; v++) {
        for (let u = 0; u < factor; u++) sum += crop[(y * factor + v) * side + x * factor + u];
      }
      out[y * 48 + x] = Math.floor(sum / (factor * factor) + 0.5);
    }
  }
  return [out, 48];
}

export function measure(box, points, whole, wholeSide) {
  const [crop, side] = at48(whole, wholeSide);
  const contrast = deviation(Float32Array.from(crop));
  return {
    size_px: Math.min(box[2] - box[0], box[3] - box[1]),
    sharpness: contrast > 0 ? deviation(laplacian(crop, side)) / contrast : 0,
    turn: points ? turnAside(points) : null,
    brightness: crop.reduce((a, b) => a + b, 0) / crop.length / 255,
  };
}

// Why an answer is uncertain, in the library's words; "" where it is not.
export function doubt(probability, quality, rules, certainFrom, score = 1) {
  const reasons = [];
  const isDark = quality.brightness != null && quality.brightness < rules.min_brightness;
  if (isDark || (probability < certainFrom && score < rules.min_score)) reasons.push("perhaps no face");
  if (probability < certainFrom) reasons.push(`no label reaches ${Math.round(100 * certainFrom)}%`);
  if (quality.size_px < rules.min_size_px) reasons.push(`face smaller than ${Math.round(rules.min_size_px)} pixels`);
  if (quality.turn !== null && quality.turn > rules.max_turn) reasons.push("face turned away");
  return reasons.join("; ");
}

const UNPLEASANT = ["angry", "disgust", "fear", "sad", "contempt"];

// Happy less the likeliest unpleasant expression; null where the labels have neither.
export function valence(probabilities) {
  const unpleasant = UNPLEASANT.filter((name) => name in probabilities).map((name) => probabilities[name]);
  return "happy" in probabilities && unpleasant.length ? probabilities.happy - Math.max(...unpleasant) : null;
}

// Entropy over that of a uniform answer: 0 sure, 1 no idea.
export function entropy(probabilities) {
  const inside = probabilities.filter((p) => p > 0);
  const total = -inside.reduce((sum, p) => sum + p * Math.log(p), 0);
  return Math.min(1, Math.max(0, total / Math.log(probabilities.length)));
}
