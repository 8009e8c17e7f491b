// Where a film cuts to another picture: there every face begins anew. The distances are those of
// mien.video.cuts, with its limits for looks that have no neighbour near in time, as here.

export const WIDTH = 48;
export const HEIGHT = 36;
const COARSE = 3; // pixels of these make one of the 16 x 12
const BLOCKS = 4;
const LEVELS = 8;
const PATTERN = 0.5;
const BLOCK = 0.09;
const BLANK = 3;

// What is kept of a picture, gray values HEIGHT x WIDTH.
export function lookOf(gray) {
  const columns = WIDTH / COARSE;
  const pattern = new Float64Array(columns * (HEIGHT / COARSE));
  gray.forEach((value, i) => {
    const row = Math.floor(i / WIDTH / COARSE);
    pattern[row * columns + Math.floor((i % WIDTH) / COARSE)] += value / COARSE ** 2;
  });
  const mean = pattern.reduce((a, b) => a + b, 0) / pattern.length;
  for (let i = 0; i < pattern.length; i++) pattern[i] -= mean;
  const length = Math.sqrt(pattern.reduce((sum, value) => sum + value * value, 0));
  const blank = length / Math.sqrt(pattern.length) < BLANK;
  for (let i = 0; i < pattern.length; i++) pattern[i] /= Math.max(length, 1e-6);
  const order = Array.from(gray, (_, i) => i).sort((a, b) => gray[a] - gray[b] || a - b);
  const counts = Array.from({ length: BLOCKS * BLOCKS }, () => new Float64Array(LEVELS));
  order.forEach((i, rank) => {
    const row = Math.floor((Math.floor(i / WIDTH) * BLOCKS) / HEIGHT);
    const column = Math.floor(((i % WIDTH) * BLOCKS) / WIDTH);
    counts[row * BLOCKS + column][Math.floor((rank * LEVELS) / gray.length)] += 1;
  });
  return { pattern, counts, blank };
}

// [1 less the correlation, chi-squared distance of the eight blocks that changed least].
export function distances(one, other) {
  const pattern = 1 - one.pattern.reduce((sum, value, i) => sum + value * other.pattern[i], 0);
  const inBlock = one.counts[0].reduce((a, b) => a + b, 0);
  const changes = one.counts.map((counts, block) =>
    counts.reduce((sum, value, level) => {
      const theirs = other.counts[block][level];
      return sum + (value - theirs) ** 2 / Math.max(value + theirs, 1);
    }, 0) / inBlock / 2);
  const least = changes.sort((a, b) => a - b).slice(0, (BLOCKS * BLOCKS) / 2);
  return [pattern, least.reduce((a, b) => a + b, 0) / least.length];
}

export class Cuts {
  last = null;
  blank = false;

  // Whether another scene begins with this picture; after a blank one it does.
  isCut(gray) {
    const look = lookOf(gray);
    if (look.blank) {
      this.blank = true;
      return false;
    }
    const { last, blank } = this;
    this.last = look;
    this.blank = false;
    if (last === null) return false;
    if (blank) return true;
    const [pattern, block] = distances(last, look);
    return pattern > PATTERN && block > BLOCK;
  }
}

// Gray values HEIGHT x WIDTH of a canvas, with the weights of ITU-R BT.601.
export function shrunkGray(canvas, small) {
  const pen = small.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(canvas, 0, 0, WIDTH, HEIGHT);
  const { data } = pen.getImageData(0, 0, WIDTH, HEIGHT);
  return Array.from({ length: WIDTH * HEIGHT }, (_, i) => Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]));
}
