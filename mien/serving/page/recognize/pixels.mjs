// A picture's bytes -> RGBA, as the library decodes it: stored values, no colour management, upright,
// transparent parts on mid-gray. And the shrinking by area averaging that OpenCV's INTER_AREA does.

export const BACKGROUND = "rgb(128, 128, 128)"; // mien.vision.image.BACKGROUND

export class PictureError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// Round half to even, as OpenCV and Python do.
export function roundEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

// Blob or ImageBitmap -> {width, height, data: RGBA Uint8ClampedArray}.
export async function decode(source, maxPixels = Infinity) {
  const bitmap = source instanceof Blob ? await bitmapOf(source) : source;
  const { width, height } = bitmap;
  if (width * height > maxPixels) {
    bitmap.close();
    const megapixels = (value) => (value / 1e6).toFixed(0);
    throw new PictureError(
      "too-large",
      `got ${megapixels(width * height)} megapixels; expected at most ${megapixels(maxPixels)}. Fix: make the picture smaller.`,
    );
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = BACKGROUND;
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

// What the browser can decode; anything else is refused with what to do.
export async function bitmapOf(blob) {
  if (blob.size === 0) throw new PictureError("empty", "got an empty file; expected a picture. Fix: choose another file.");
  try {
    return await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    const kind = await kindOf(blob);
    if (kind) {
      throw new PictureError("not-here", `got ${kind}, which this browser cannot decode; expected JPEG, PNG, WebP, AVIF, GIF or BMP. Fix: switch to “On the server”.`);
    }
    throw new PictureError("not-a-picture", "got a file that is not a picture, or is damaged; expected JPEG, PNG, WebP, AVIF, GIF or BMP. Fix: choose another file.");
  }
}

const ANIMATED = { "GIF8": "image/gif", "\x89PNG": "image/png", "RIFF": "image/webp" };
const COUNTED_BYTES = 4 << 20; // frames of larger files, and of PNG, are not counted: mien.vision.image

// The library's note on a picture with several frames, of which the first is read; else, and in browsers
// without ImageDecoder, "".
export async function noteOf(blob) {
  const head = String.fromCharCode(...new Uint8Array(await blob.slice(0, 12).arrayBuffer()));
  const type = ANIMATED[head.slice(0, 4)] ?? (head.slice(4, 11) === "ftypavi" ? "image/avif" : "");
  if (!type || !self.ImageDecoder) return "";
  const decoder = new ImageDecoder({ data: await blob.arrayBuffer(), type });
  try {
    await Promise.all([decoder.tracks.ready, decoder.completed]);
    const { frameCount } = decoder.tracks.selectedTrack;
    if (frameCount < 2) return "";
    const counted = type !== "image/png" && blob.size <= COUNTED_BYTES;
    return `first of ${counted ? frameCount.toLocaleString("en") : "several"} frames`;
  } catch {
    return ""; // it was decoded, so its first frame is sound
  } finally {
    decoder.close();
  }
}

// TIFF and HEIC by their first bytes: pictures that servers read and most browsers do not.
async function kindOf(blob) {
  const head = new Uint8Array(await blob.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...head);
  if (text.startsWith("II*\0") || text.startsWith("MM\0*")) return "a TIFF picture";
  if (text.slice(4, 8) === "ftyp" && /^(hei|hev|mif|msf)/.test(text.slice(8, 12))) return "a HEIC picture";
  return "";
}

// Longest side at most `side`: [picture, factor of x, factor of y] to come back to the original's pixels.
export function shrunk(image, side) {
  const scale = side / Math.max(image.width, image.height);
  if (scale >= 1) return [image, 1, 1];
  const width = Math.max(1, roundEven(image.width * scale));
  const height = Math.max(1, roundEven(image.height * scale));
  return [byArea(image, width, height), Math.fround(image.width / width), Math.fround(image.height / height)];
}

const fround = Math.fround;

// Which pixels of an axis make each of fewer, and how much of each: OpenCV's computeResizeAreaTab, in the
// float32 that it keeps them in.
function shares(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, index) => {
    const low = index * scale;
    const high = low + scale;
    const cell = Math.min(scale, from - low);
    const last = Math.min(Math.floor(high), from - 1);
    const first = Math.min(Math.ceil(low), last);
    const parts = []; // of pixels side by side
    const start = first - low > 1e-3 ? first - 1 : first;
    if (start < first) parts.push((first - low) / cell);
    for (let at = first; at < last; at++) parts.push(1 / cell);
    if (high - last > 1e-3) parts.push(Math.min(high - last, 1, cell) / cell);
    return { start, weights: Float32Array.from(parts) };
  });
}

// cv2.resize with INTER_AREA, to the bit: the sums are float32, as there.
export function byArea(image, width, height) {
  const { width: fromWidth, height: fromHeight, data } = image;
  const [across, down] = [fromWidth / width, fromHeight / height];
  if (Number.isInteger(across) && Number.isInteger(down)) return byWholeCells(image, width, height, across, down);
  const out = new Uint8ClampedArray(width * height * 4);
  const columns = shares(fromWidth, width);
  const rows = shares(fromHeight, height);
  const line = new Float32Array(width * 3);
  const sum = new Float32Array(width * 3);
  let kept = -1; // the source row that `line` holds: rows are shared by neighbours
  for (let y = 0; y < height; y++) {
    sum.fill(0);
    const { start, weights } = rows[y];
    for (let k = 0; k < weights.length; k++) {
      if (start + k !== kept) {
        kept = start + k;
        squeeze(data, kept * fromWidth * 4, columns, line);
      }
      const weight = weights[k];
      for (let i = 0; i < sum.length; i++) sum[i] += fround(line[i] * weight);
    }
    for (let x = 0, to = y * width * 4; x < width; x++, to += 4) {
      for (let c = 0; c < 3; c++) out[to + c] = roundEven(sum[x * 3 + c]);
    }
  }
  return { width, height, data: out };
}

function squeeze(data, start, columns, line) {
  for (let x = 0; x < columns.length; x++) {
    let red = 0;
    let green = 0;
    let blue = 0;
    const { start: column, weights } = columns[x];
    for (let k = 0, at = start + column * 4; k < weights.length; k++, at += 4) {
      const weight = weights[k];
      red = fround(red + fround(data[at] * weight));
      green = fround(green + fround(data[at + 1] * weight));
      blue = fround(blue + fround(data[at + 2] * weight));
    }
    line[x * 3] = red;
    line[x * 3 + 1] = green;
    line[x * 3 + 2] = blue;
  }
}

// Where each pixel is made of so many whole ones: OpenCV sums integers.
function byWholeCells({ width: fromWidth, data }, width, height, across, down) {
  const out = new Uint8ClampedArray(width * height * 4);
  const share = fround(1 / (across * down));
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 4) {
      for (let c = 0; c < 3; c++) {
        let total = 0;
        for (let v = 0; v < down; v++) {
          for (let u = 0, at = ((y * down + v) * fromWidth + x * across) * 4 + c; u < across; u++, at += 4) total += data[at];
        }
        out[to + c] = across === 2 && down === 2 ? (total + 2) >> 2 : roundEven(fround(total * share));
      }
    }
  }
  return { width, height, data: out };
}
