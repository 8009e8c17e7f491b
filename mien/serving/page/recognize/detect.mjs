// YuNet (Wu, Peng, Yu 2023) in ONNX Runtime, and the two looks of mien.vision.detect.YuNet: small for
// large faces, then at the detector's size. A face is [x0, y0, x1, y1, five points, score].
import { shrunk } from "./pixels.mjs";

const STRIDES = [8, 16, 32];
const NMS_OVERLAP = 0.3;
const fround = Math.fround;

// `rules` are the library's constants, from the device document.
export async function detect(ort, session, image, rules, maxSide) {
  const longest = Math.max(image.width, image.height);
  const most = Math.min(longest, maxSide);
  const [large, zoomX, zoomY] = shrunk(image, most);
  const [small, backX, backY] = shrunk(large, rules.first_side); // from the larger one, as the library
  let faces = await look(ort, session, small, [fround(backX * zoomX), fround(backY * zoomY)], rules);
  if (most > rules.first_side) {
    const second = await look(ort, session, large, [zoomX, zoomY], rules);
    const seen = (rules.seen_px * longest) / rules.first_side;
    const largest = (rules.large_px * longest) / most;
    faces = faces.concat(
      second.filter((face) => (size(face) <= seen || face[14] >= rules.sure) && size(face) <= largest),
    );
  }
  return distinct(faces, image, rules.same);
}

const size = (face) => Math.max(face[2] - face[0], face[3] - face[1]);

async function look(ort, session, image, [zoomX, zoomY], rules) {
  const faces = await yunet(ort, session, image, rules.min_score);
  return faces.map((face) => face.map((value, i) => (i < 14 ? fround(value * (i % 2 ? zoomY : zoomX)) : value)));
}

const multipleOf32 = (length) => Math.ceil(length / 32) * 32;

async function yunet(ort, session, image, minScore) {
  const width = multipleOf32(image.width);
  const height = multipleOf32(image.height);
  const plane = width * height;
  const input = new Float32Array(3 * plane); // blue, green, red; zeros right of and below the picture
  for (let y = 0; y < image.height; y++) {
    for (let x = 0, from = y * image.width * 4, to = y * width; x < image.width; x++, from += 4, to++) {
      input[to] = image.data[from + 2];
      input[plane + to] = image.data[from + 1];
      input[2 * plane + to] = image.data[from];
    }
  }
  const out = await session.run({ input: new ort.Tensor("float32", input, [1, 3, height, width]) });
  const faces = STRIDES.flatMap((stride) => candidates(out, stride, width / stride, minScore));
  for (const tensor of Object.values(out)) tensor.dispose?.();
  return suppressed(faces);
}

function candidates(out, stride, columns, minScore) {
  const classes = out[`cls_${stride}`].data;
  const objects = out[`obj_${stride}`].data;
  const boxes = out[`bbox_${stride}`].data;
  const points = out[`kps_${stride}`].data;
  const unit = (value) => Math.min(1, Math.max(0, value));
  const faces = [];
  for (let i = 0; i < classes.length; i++) {
    const score = Math.sqrt(unit(classes[i]) * unit(objects[i]));
    if (score < minScore) continue;
    const column = i % columns;
    const row = (i - column) / columns;
    const x = (column + boxes[4 * i]) * stride;
    const y = (row + boxes[4 * i + 1]) * stride;
    const width = Math.exp(boxes[4 * i + 2]) * stride;
    const height = Math.exp(boxes[4 * i + 3]) * stride;
    const face = [x - width / 2, y - height / 2, width, height];
    for (let n = 0; n < 5; n++) {
      face.push((points[10 * i + 2 * n] + column) * stride, (points[10 * i + 2 * n + 1] + row) * stride);
    }
    faces.push([...face, score]);
  }
  return faces;
}

// As OpenCV does it, on whole pixels. In: x, y, width, height ...; out: x0, y0, x1, y1 ...
function suppressed(faces) {
  const whole = (face) => face.slice(0, 4).map(Math.trunc);
  const kept = [];
  for (const face of faces.sort((a, b) => b[14] - a[14])) {
    const box = whole(face);
    if (kept.every((other) => overlap(box, whole(other)) <= NMS_OVERLAP)) kept.push(face);
  }
  return kept.map((f) => [f[0], f[1], f[0] + f[2], f[1] + f[3], ...f.slice(4)]);
}

function overlap(a, b) {
  const width = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const shared = width > 0 && height > 0 ? width * height : 0;
  return shared / (a[2] * a[3] + b[2] * b[3] - shared);
}

// Boxes within the picture, each face once, best first: mien.vision.detect.valid_detections.
function distinct(faces, { width, height }, same) {
  const clip = (value, most) => fround(Math.max(0, Math.min(most, value)));
  const area = (b) => (b[2] - b[0]) * (b[3] - b[1]);
  const valid = faces
    .filter((face) => face.every(Number.isFinite))
    .map((face) => [clip(face[0], width), clip(face[1], height), clip(face[2], width), clip(face[3], height), ...face.slice(4)])
    .filter((b) => b[2] - b[0] >= 1 && b[3] - b[1] >= 1)
    .sort((a, b) => b[14] - a[14] || area(b) - area(a));
  const kept = [];
  for (const b of valid) {
    const alone = kept.every((k) => {
      const across = Math.max(0, Math.min(b[2], k[2]) - Math.max(b[0], k[0]));
      const shared = across * Math.max(0, Math.min(b[3], k[3]) - Math.max(b[1], k[1]));
      return shared / (area(b) + area(k) - shared) <= same;
    });
    if (alone) kept.push(b);
  }
  return kept;
}
