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

function shares(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, index) => {
    const low = index * scale;
    const high = Math.min((index + 1) * scale, from);
    const first = Math.floor(low);
    const last = Math.min(from, Math.ceil(high - 1e-9));
    const weights = [];
    for (let at = first; at < last; at++) {
      weights.push(Math.max(0, Math.min(high, at + 1) - Math.max(low, at)) / scale);
    }
    return [first, weights];
  });
}

export function byArea(image, width, height) {
  const { width: fromWidth, height: fromHeight, data } = image;
  const out = new Uint8ClampedArray(width * height * 4);
  if (fromWidth === 2 * width && fromHeight === 2 * height) {
    const row = fromWidth * 4;
    for (let y = 0, to = 0; y < height; y++) {
      for (let x = 0, from = 2 * y * row; x < width; x++, from += 8, to += 4) {
        for (let c = from, o = to; c < from + 3; c++, o++) {
          out[o] = (data[c] + data[c + 4] + data[c + row] + data[c + row + 4] + 2) >> 2;
        }
      }
    }
    return { width, height, data: out };
  }
  const columns = shares(fromWidth, width);
  const rows = shares(fromHeight, height);
  const line = new Float32Array(width * 3);
  const sum = new Float32Array(width * 3);
  let kept = -1; // the source row that `line` holds: rows are shared by neighbours
  for (let y = 0; y < height; y++) {
    sum.fill(0);
    const [first, weights] = rows[y];
    for (let k = 0; k < weights.length; k++) {
      if (first + k !== kept) {
        kept = first + k;
        squeeze(data, kept * fromWidth * 4, columns, line);
      }
      for (let i = 0; i < sum.length; i++) sum[i] += line[i] * weights[k];
    }
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) out[(y * width + x) * 4 + c] = roundEven(sum[x * 3 + c]);
    }
  }
  return { width, height, data: out };
}

function squeeze(data, start, columns, line) {
  for (let x = 0; x < columns.length; x++) {
    const [first, weights] = columns[x];
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let k = 0, at = start + first * 4; k < weights.length; k++, at += 4) {
      red += data[at] * weights[k];
      green += data[at + 1] * weights[k];
      blue += data[at + 2] * weights[k];
    }
    line[x * 3] = red;
    line[x * 3 + 1] = green;
    line[x * 3 + 2] = blue;
  }
}
