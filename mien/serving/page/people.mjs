// Faces of successive frames as people: numbers, smoothed probabilities beside the raw ones, and for each
// person a face at rest to compare with.
import { doubt, entropy, valence } from "./recognize/quality.mjs";
import { Smoother, Tracker } from "./track.mjs";

const fround = Math.fround;

export class People {
  constructor({ smoothS = 0.3, rules, certainFrom = 0.5 }) {
    this.tracker = new Tracker();
    this.smoother = new Smoother(smoothS);
    this.rules = rules; // the library's thresholds
    this.certainFrom = certainFrom; // of the answer's rule
    this.rest = new Map(); // track -> label -> probability
    this.learning = null; // {until, sums}
  }

  smooth(constantS) {
    this.smoother.constantS = constantS;
  }

  // The frame with `track`, `raw` and smoothed `probabilities` in each face, as mien.watch gives it.
  follow(frame) {
    const numbers = this.tracker.update(frame.time_s, frame.faces.map((face) => face.box));
    frame.faces = frame.faces.map((face, i) => this.followed(face, numbers[i], frame.time_s));
    this.learn(frame);
    return frame;
  }

  followed(face, track, timeS) {
    const labels = Object.keys(face.probabilities);
    const raw = face.raw ?? face.probabilities;
    const smoothed = this.smoother.update(track, timeS, labels.map((label) => raw[label]));
    const total = smoothed.reduce((a, b) => a + b, 0);
    const values = smoothed.map((value) => fround(value / total));
    const most = Math.max(...values);
    const reason = this.rules ? doubt(most, face.quality, this.rules, this.certainFrom, face.score) : face.reason;
    return {
      ...face,
      label: labels[values.indexOf(most)],
      probabilities: Object.fromEntries(labels.map((label, i) => [label, values[i]])),
      valence: valence(Object.fromEntries(labels.map((label, i) => [label, values[i]]))),
      entropy: entropy(values),
      uncertain: reason !== "",
      reason,
      track,
      raw: { ...raw },
    };
  }

  // Another scene begins: nobody is who was seen before.
  cut() {
    this.tracker.forget();
  }

  // For so many seconds from the next frame on, everybody's mean is their face at rest.
  learnRest(seconds) {
    this.learning = { seconds, until: null, sums: new Map() };
  }

  forgetRest() {
    this.rest.clear();
    this.learning = null;
  }

  // Share of the learning that is done, null when none is under way.
  get progress() {
    if (!this.learning) return null;
    const { seconds, until, now } = this.learning;
    return until === null ? 0 : Math.min(1, 1 - (until - now) / seconds);
  }

  learn(frame) {
    const { learning } = this;
    if (!learning) return;
    learning.until ??= frame.time_s + learning.seconds;
    learning.now = frame.time_s;
    for (const { track, raw } of frame.faces) {
      const sums = learning.sums.get(track) ?? { count: 0, values: {} };
      sums.count += 1;
      for (const [label, p] of Object.entries(raw)) sums.values[label] = (sums.values[label] ?? 0) + p;
      learning.sums.set(track, sums);
    }
    if (frame.time_s < learning.until) return;
    for (const [track, { count, values }] of learning.sums) {
      this.rest.set(track, Object.fromEntries(Object.entries(values).map(([label, sum]) => [label, sum / count])));
    }
    this.learning = null;
  }
}

// Half the sum of absolute differences: 0 as at rest, 1 nothing in common.
export function unlike(probabilities, rest) {
  return Object.entries(probabilities).reduce((sum, [label, p]) => sum + Math.abs(p - rest[label]), 0) / 2;
}
