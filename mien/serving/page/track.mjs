// Who is who from frame to frame, and smoothing in time: mien.video.tracker and mien.video.smoothing.
// A box whose centre moves by a Kalman filter, its speed slowly forgotten; the assignment with the largest
// sum by the Hungarian method. Nothing here knows a face: it only continues boxes.

const BOX_NOISE = 0.05;
const SPEED = 5;
const SPEED_MEMORY_S = 1;
const NEAR = 0.3;
const MOST_VARIANCE = 1.5;
const FARTHEST = 2;
const SIZE_RATIO = 0.3;
const LEAST_CLOSENESS = 0.3;
const SIZE_MEMORY_S = 0.15;

const centreOf = (box) => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
const sizeOf = (box) => [box[2] - box[0], box[3] - box[1]];

class Track {
  constructor(number, box, timeS) {
    this.number = number;
    this.centre = centreOf(box);
    this.speed = [0, 0];
    this.size = sizeOf(box);
    this.spread = [[BOX_NOISE ** 2, 0], [0, SPEED ** 2]];
    this.seenS = timeS;
    this.missedS = null;
  }

  move(stepS) {
    const keep = Math.exp(-stepS / SPEED_MEMORY_S);
    const reach = SPEED_MEMORY_S * (1 - keep);
    this.centre = this.centre.map((value, i) => value + reach * this.speed[i]);
    this.speed = this.speed.map((value) => keep * value);
    const drift = SPEED_MEMORY_S ** 2 * ((2 * stepS) / SPEED_MEMORY_S - 3 + 4 * keep - keep * keep);
    const both = SPEED_MEMORY_S * (1 - keep) ** 2;
    const [[a, b], [c, d]] = this.spread;
    // step [[1, reach], [0, keep]] times spread times its transpose, plus noise
    const [p, q] = [a + reach * c, b + reach * d];
    const [r, s] = [keep * c, keep * d];
    this.spread = [
      [p + q * reach + SPEED ** 2 * drift, q * keep + SPEED ** 2 * both],
      [r + s * reach + SPEED ** 2 * both, s * keep + SPEED ** 2 * (1 - keep * keep)],
    ];
  }

  meet(box, timeS) {
    const [[a, b], [c, d]] = this.spread;
    const gain = [a / (a + BOX_NOISE ** 2), c / (a + BOX_NOISE ** 2)];
    const surprise = centreOf(box).map((value, i) => value - this.centre[i]);
    this.centre = this.centre.map((value, i) => value + gain[0] * surprise[i]);
    this.speed = this.speed.map((value, i) => value + gain[1] * surprise[i]);
    this.spread = [[a - gain[0] * a, b - gain[0] * b], [c - gain[1] * a, d - gain[1] * b]];
    const share = 1 - Math.exp(-(timeS - this.seenS) / SIZE_MEMORY_S);
    this.size = this.size.map((value, i) => value + share * (sizeOf(box)[i] - value));
    this.seenS = timeS;
    this.missedS = null;
  }
}

export class Tracker {
  constructor(memoryS = 1) {
    this.memoryS = memoryS;
    this.tracks = [];
    this.next = 0;
    this.timeS = null;
  }

  // End every track; numbers go on.
  forget() {
    this.tracks = [];
  }

  // Boxes [x0, y0, x1, y1] found at a time -> a number each, none ever given twice.
  update(timeS, boxes) {
    const stepS = this.timeS === null ? 0 : Math.max(0, timeS - this.timeS);
    this.timeS = timeS;
    this.tracks = this.tracks.filter((track) => track.missedS === null || timeS - track.missedS <= this.memoryS + 1e-6);
    for (const track of this.tracks) track.move(stepS);
    const numbers = boxes.map(() => -1);
    const groups = [this.tracks.filter((track) => track.missedS === null), this.tracks.filter((track) => track.missedS !== null)];
    for (const tracks of groups) {
      const free = numbers.flatMap((number, i) => (number < 0 ? [i] : []));
      const fit = tracks.map((track) => free.map((i) => closeness(track, boxes[i])));
      for (const [row, column] of assign(fit)) {
        if (fit[row][column] < LEAST_CLOSENESS) continue;
        tracks[row].meet(boxes[free[column]], timeS);
        numbers[free[column]] = tracks[row].number;
      }
    }
    for (const track of this.tracks) {
      if (track.seenS !== timeS && track.missedS === null && !numbers.includes(track.number)) track.missedS = timeS;
    }
    return numbers.map((number, i) => {
      if (number >= 0) return number;
      this.tracks.push(new Track(this.next, boxes[i], timeS));
      return this.next++;
    });
  }
}

function closeness(track, box) {
  const size = (track.size[0] + track.size[1]) / 2;
  const [width, height] = sizeOf(box);
  const centre = centreOf(box);
  const distance = Math.hypot(centre[0] - track.centre[0], centre[1] - track.centre[1]) / size;
  if (distance > FARTHEST) return 0;
  const variance = Math.min(track.spread[0][0] + NEAR ** 2, MOST_VARIANCE);
  const ratio = Math.log(Math.max((width + height) / 2, 1e-6) / size);
  return Math.exp(-(distance ** 2) / variance / 2 - (ratio / SIZE_RATIO) ** 2 / 2);
}

// Pairs [row, column] with the largest sum of gains: Kuhn 1955, by shortest augmenting paths.
export function assign(gains) {
  const numRows = gains.length;
  const numColumns = numRows ? gains[0].length : 0;
  if (!numRows || !numColumns) return [];
  if (numRows > numColumns) {
    const turned = gains[0].map((_, column) => gains.map((row) => row[column]));
    return assign(turned).map(([a, b]) => [b, a]).sort((a, b) => a[0] - b[0]);
  }
  const rowPrice = new Array(numRows).fill(0);
  const columnPrice = new Array(numColumns).fill(0);
  const owner = new Array(numColumns).fill(-1);
  for (let start = 0; start < numRows; start++) {
    const best = new Array(numColumns).fill(Infinity);
    const from = new Array(numColumns).fill(-1);
    const done = new Array(numColumns).fill(false);
    let [row, column, length] = [start, -1, 0];
    while (true) {
      for (let j = 0; j < numColumns; j++) {
        const reach = length - gains[row][j] - rowPrice[row] - columnPrice[j];
        if (!done[j] && reach < best[j]) [best[j], from[j]] = [reach, column];
      }
      column = best.reduce((least, value, j) => (!done[j] && (least < 0 || value < best[least]) ? j : least), -1);
      length = best[column];
      done[column] = true;
      if (owner[column] < 0) break;
      row = owner[column];
    }
    rowPrice[start] += length;
    for (let j = 0; j < numColumns; j++) {
      if (!done[j]) continue;
      if (owner[j] >= 0) rowPrice[owner[j]] += length - best[j];
      columnPrice[j] -= length - best[j];
    }
    while (column >= 0) {
      const before = from[column];
      owner[column] = before < 0 ? start : owner[before];
      column = before;
    }
  }
  return owner.flatMap((row, column) => (row >= 0 ? [[row, column]] : [])).sort((a, b) => a[0] - b[0]);
}

// p <- p + (1 - exp(-dt / constant)) (new - p), for each face followed.
export class Smoother {
  constructor(constantS) {
    this.constantS = constantS;
    this.last = new Map();
  }

  update(track, timeS, probabilities) {
    const before = this.last.get(track);
    let now = probabilities;
    if (this.constantS > 0 && before) {
      const share = -Math.expm1(-Math.max(0, timeS - before.timeS) / this.constantS);
      now = probabilities.map((value, i) => before.values[i] + share * (value - before.values[i]));
    }
    this.last.set(track, { timeS, values: now });
    return now;
  }
}
