// From a found face to the gray square that the network takes: mien.vision.align, in plain arithmetic.
// Canvas scaling is not used: it was measured to move a probability by up to 0.09.
import { roundEven } from "./pixels.mjs";

const fround = Math.fround;
const sum = (values) => values.reduce((a, b) => a + b, 0);

// How far a head is turned to a side: 0 the nose tip midway between the eyes, 1 at or beyond one.
export function turnAside(points) {
  const [right, left, nose] = points;
  const ex = left[0] - right[0];
  const ey = left[1] - right[1];
  const length = ex * ex + ey * ey;
  if (length === 0) return 1;
  const along = (nose[0] - right[0]) * ex + (nose[1] - right[1]) * ey;
  return Math.min(1, Math.max(0, Math.abs((2 * along) / length - 1)));
}

// Corners of the crop, clockwise from the top left one. box [x0, y0, x1, y1]; points five [x, y] or null.
export function square(box, points, geometry) {
  const width = box[2] - box[0];
  const height = box[3] - box[1];
  let side = Math.sqrt(width * height) / geometry.box_side;
  let x = (box[0] + box[2]) / 2 - (geometry.box_centre[0] - 0.5) * side;
  let y = (box[1] + box[3]) / 2 - (geometry.box_centre[1] - 0.5) * side;
  let angle = 0;
  if (points) {
    const other = byLandmarks(points, geometry.points);
    const share = 0.5 + 0.5 * turnAside(points); // of the box; the rest is the landmarks'
    x = share * x + (1 - share) * other.x;
    y = share * y + (1 - share) * other.y;
    side = side ** share * other.side ** (1 - share);
    angle = other.angle;
  }
  const half = Math.max(1, side) / 2;
  const rx = half * Math.cos(angle);
  const ry = half * Math.sin(angle);
  const corner = (a, b) => [fround(x + rx * a - ry * b), fround(y + rx * b + ry * a)];
  return [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
}

// The similarity transform of least squares from where the points lie in FER2013's pictures.
function byLandmarks(points, known) {
  const mean = (list, axis) => sum(list.map((point) => point[axis])) / list.length;
  const [mx, my, kx, ky] = [mean(points, 0), mean(points, 1), mean(known, 0), mean(known, 1)];
  let [real, imaginary, spread, away] = [0, 0, 0, 0];
  points.forEach(([px, py], n) => {
    const [sx, sy, ax, ay] = [px - mx, py - my, known[n][0] - kx, known[n][1] - ky];
    real += sx * ax + sy * ay;
    imaginary += sy * ax - sx * ay;
    spread += sx * sx + sy * sy;
    away += ax * ax + ay * ay;
  });
  const angle = Math.atan2(imaginary, real);
  const side = Math.sqrt(spread / away);
  const [dx, dy, cos, sin] = [0.5 - kx, 0.5 - ky, Math.cos(angle), Math.sin(angle)];
  return { x: mx + side * (cos * dx - sin * dy), y: my + side * (sin * dx + cos * dy), side, angle };
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// uint8 side x side: the turned square, averaged by area where it shrinks; edges go on outside.
export function cutOut(image, corners, side) {
  const patch = grayPatch(image, corners);
  const right = [corners[1][0] - corners[0][0], corners[1][1] - corners[0][1]];
  const down = [corners[3][0] - corners[0][0], corners[3][1] - corners[0][1]];
  const samples = Math.max(1, Math.ceil(Math.hypot(...right) / side - 1e-3));
  const length = side * samples;
  const map = {
    xx: right[0] / length,
    xy: down[0] / length,
    yx: right[1] / length,
    yy: down[1] / length,
    samples,
    side,
  };
  map.x = corners[0][0] - patch.left + (map.xx + map.xy) * 0.5 - 0.5;
  map.y = corners[0][1] - patch.top + (map.yx + map.yy) * 0.5 - 0.5;
  return samples > 1 ? averaged(patch, map) : cubic(patch, map);
}

// Luma of ITU-R BT.601 as Pillow rounds it, of the part of the picture that the crop needs.
function grayPatch({ width: fullWidth, height: fullHeight, data }, corners) {
  const xs = corners.map((corner) => corner[0]);
  const ys = corners.map((corner) => corner[1]);
  const left = clamp(Math.floor(Math.min(...xs)) - 2, 0, fullWidth - 1);
  const top = clamp(Math.floor(Math.min(...ys)) - 2, 0, fullHeight - 1);
  const width = clamp(Math.ceil(Math.max(...xs)) + 2, left + 1, fullWidth) - left;
  const height = clamp(Math.ceil(Math.max(...ys)) + 2, top + 1, fullHeight) - top;
  const gray = new Uint8Array(width * height);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, at = ((y + top) * fullWidth + left) * 4; x < width; x++, at += 4, to++) {
      gray[to] = (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 32768) >> 16;
    }
  }
  return { gray, left, top, width, height };
}

// Bilinear samples, as many a pixel as the square has pixels there, rounded, then their mean.
function averaged({ gray, width, height }, map) {
  const { samples, side } = map;
  const sums = new Float64Array(side * side);
  for (let v = 0; v < side * samples; v++) {
    const row = Math.floor(v / samples) * side;
    for (let u = 0; u < side * samples; u++) {
      const x = map.xx * u + map.xy * v + map.x;
      const y = map.yx * u + map.yy * v + map.y;
      const column = Math.floor(x);
      const line = Math.floor(y);
      const fx = x - column;
      const fy = y - line;
      const a = clamp(column, 0, width - 1);
      const b = clamp(column + 1, 0, width - 1);
      const upper = clamp(line, 0, height - 1) * width;
      const lower = clamp(line + 1, 0, height - 1) * width;
      const value =
        (gray[upper + a] * (1 - fx) + gray[upper + b] * fx) * (1 - fy) + (gray[lower + a] * (1 - fx) + gray[lower + b] * fx) * fy;
      sums[row + Math.floor(u / samples)] += roundEven(value);
    }
  }
  const share = fround(1 / (samples * samples));
  return Uint8Array.from(sums, (total) => (samples === 2 ? (total + 2) >> 2 : roundEven(fround(fround(total) * share))));
}

// OpenCV's INTER_CUBIC (a = -0.75), for faces smaller than the network's input.
function cubic({ gray, width, height }, map) {
  const { side } = map;
  const out = new Uint8ClampedArray(side * side);
  for (let v = 0; v < side; v++) {
    for (let u = 0; u < side; u++) {
      const x = map.xx * u + map.xy * v + map.x;
      const y = map.yx * u + map.yy * v + map.y;
      const column = Math.floor(x);
      const line = Math.floor(y);
      const across = kernel(x - column);
      const along = kernel(y - line);
      let value = 0;
      for (let j = 0; j < 4; j++) {
        const row = clamp(line + j - 1, 0, height - 1) * width;
        let total = 0;
        for (let i = 0; i < 4; i++) total += across[i] * gray[row + clamp(column + i - 1, 0, width - 1)];
        value += along[j] * total;
      }
      out[v * side + u] = roundEven(value);
    }
  }
  return new Uint8Array(out);
}

function kernel(x) {
  const A = -0.75;
  const first = ((A * (x + 1) - 5 * A) * (x + 1) + 8 * A) * (x + 1) - 4 * A;
  const second = ((A + 2) * x - (A + 3)) * x * x + 1;
  const third = ((A + 2) * (1 - x) - (A + 3)) * (1 - x) * (1 - x) + 1;
  return [first, second, third, 1 - first - second - third];
}
