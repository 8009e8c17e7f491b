// A picture in, the library's frame out: decode, detect, crop, classify, as mien.Recognizer does.
import { cutOut, square } from "./align.mjs";
import { answer, logits } from "./classify.mjs";
import { detect } from "./detect.mjs";
import { headPose } from "./pose.mjs";
import { doubt, entropy, measure, valence } from "./quality.mjs";
import { ruleUnder, shownAnswer, softmax } from "./rule.mjs";

export class Recognizer {
  constructor(ort, detector, network, model) {
    Object.assign(this, { ort, detector, network, model });
  }

  // image {width, height, data}; settings {mode, maxSide, prior}. -> {frame, crops}
  async faces(image, { mode = "fast", maxSide = this.model.detector.max_side, prior = null } = {}) {
    const { model } = this;
    const rule = ruleUnder(prior, model);
    const found = await detect(this.ort, this.detector, image, model.detector, maxSide);
    const kept = found.slice(0, model.max_faces).sort(leftToRight);
    const crops = kept.map((row) => this.crop(image, row.slice(0, 4), pointsOf(row)));
    const said = crops.length ? await logits(this.ort, this.network, crops, model, mode) : {};
    const faces = kept.map((row, i) => {
      const mine = Object.fromEntries(Object.entries(said).map(([name, all]) => [name, all[i]]));
      return this.face(row, crops[i], answer(mine, model, mode, rule), rule);
    });
    const { width, height } = image;
    return { frame: { source: "", index: 0, time_s: null, width, height, detector: model.detector.name, prior: rule.prior, faces, error: null, note: "", drawn: null }, crops };
  }

  crop(image, box, points) {
    return cutOut(image, square(box, points, this.model.geometry), this.model.input.side);
  }

  face(row, crop, { heads, shown }, rule) {
    const { model } = this;
    const box = row.slice(0, 4);
    const points = pointsOf(row);
    const quality = measure(box, points, crop, model.input.side);
    const { labels } = model.heads[0];
    const most = Math.max(...shown);
    const reason = doubt(most, quality, model.quality, rule.certain_from, row[14]);
    const named = (names, values) => Object.fromEntries(names.map((name, i) => [name, values[i]]));
    return {
      box,
      score: row[14],
      landmarks: points,
      label: labels[shown.indexOf(most)],
      probabilities: named(labels, shown),
      valence: valence(named(labels, shown)),
      entropy: entropy(shown),
      pose: headPose(points, model.head),
      quality,
      uncertain: reason !== "",
      reason,
      track: null,
      raw: null,
      heads: model.heads.length > 1 ? Object.fromEntries(model.heads.map((head) => [head.name, named(head.labels, heads[head.name])])) : {},
    };
  }

  // Largest difference between the probabilities here, of each head and under each prior, and those that the
  // bundle says to expect.
  async replayGoldens() {
    const { golden, heads, input } = this.model;
    const bytes = Uint8Array.from(atob(golden.faces), (letter) => letter.charCodeAt(0));
    const pixels = input.side * input.side;
    const crops = Array.from({ length: bytes.length / pixels }, (_, i) => bytes.subarray(i * pixels, (i + 1) * pixels));
    const said = await logits(this.ort, this.network, crops, this.model);
    let worst = crops.length ? 0 : Infinity;
    const compare = (here, expected) => expected.forEach((p, k) => {
      const difference = Math.abs(p - here[k]);
      worst = difference <= worst ? worst : difference; // NaN counts as worse
    });
    crops.forEach((_, i) => {
      const here = {};
      for (const head of heads) {
        here[head.name] = softmax(said[head.name][i], head.temperature);
        compare(here[head.name], softmax(golden.logits[head.name][i], head.temperature));
      }
      for (const [prior, rows] of Object.entries(golden.answers)) {
        const rule = ruleUnder(prior, this.model);
        compare(shownAnswer(here, this.model, rule, rule.temperature), rows[i]);
      }
    });
    return worst;
  }
}

// As people number faces: by the middles of their boxes.
const leftToRight = (a, b) => a[0] + a[2] - (b[0] + b[2]) || a[1] - b[1];

function pointsOf(row) {
  return Array.from({ length: 5 }, (_, n) => [row[4 + 2 * n], row[5 + 2 * n]]);
}
