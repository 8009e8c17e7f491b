// Frames as the library's own files: JSON (mien.frames/1) and CSV with the columns of mien.results.columns,
// byte for byte what mien.results.writers writes of the same frames.

const FORMAT = "mien.frames/1";
const SETTINGS = "mien.settings/1";
const LANDMARKS = ["right_eye", "left_eye", "nose", "right_mouth", "left_mouth"];
const WHOLE = new Set(["index", "width", "height", "track"]); // all other numbers are written as Python's float

// A number as Python's repr writes a float: 1.0, 1e-05, 1e+16.
export function pythonFloat(value) {
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [digits, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 16) {
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const plain = String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}

// As Python's json.dumps writes a dictionary whose numbers, but for times, have nine significant digits.
export function pythonJson(value, key = "") {
  if (value === null || value === undefined) return "null";
  if (typeof value === "number") return WHOLE.has(key) ? String(value) : pythonFloat(key === "time_s" ? value : Number(value.toPrecision(9)));
  if (typeof value === "boolean") return String(value);
  if (typeof value === "string") return asciiString(value);
  if (Array.isArray(value)) return `[${value.map((entry) => pythonJson(entry)).join(", ")}]`;
  return `{${Object.entries(value).map(([name, entry]) => `${asciiString(name)}: ${pythonJson(entry, name)}`).join(", ")}}`;
}

function asciiString(text) {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// model: the device document, which has the fields of frames and faces in the library's order.
export function toJson(frames, model) {
  const lines = frames.map((frame) => `\n${pythonJson(only(model.empty_frame, { ...frame, faces: frame.faces.map((face) => only(model.empty_face, face)) }))}`);
  return `{"format": "${FORMAT}", "frames": [${lines.join(",")}\n]}\n`;
}

const only = (empty, values) => Object.fromEntries(Object.keys(empty).map((name) => [name, values[name] ?? empty[name]]));

// The settings beside a table, as the library writes them (mien.settings/1).
export function toSettings(model, { mode, maxSide }, prior) {
  const bundle = { name: model.name, digest: model.digest.slice(0, 16) };
  return `${JSON.stringify({ format: SETTINGS, bundle, mode, detector: model.detector.name, max_side: maxSide, ...(prior ? { prior } : {}) }, null, 1)}\n`;
}

export function toCsv(frames, { columns }) {
  const hasRaw = frames.some((frame) => frame.faces.some((face) => face.raw));
  const names = Object.keys(columns).filter((name) => hasRaw || !name.startsWith("raw_"));
  const lines = [names.map((name) => quoted(cell(name, "text")))];
  for (const frame of frames) {
    const rows = frame.faces.length ? frame.faces.map((face, i) => rowOf(frame, face, i)) : [rowOf(frame, null, null)];
    for (const row of rows) lines.push(names.map((name) => quoted(cell(row[name] ?? null, columns[name]))));
  }
  return lines.map((line) => `${line.join(",")}\n`).join("");
}

function rowOf(frame, face, number) {
  const row = { ...frame, frame: frame.index, faces: frame.error === null ? frame.faces.length : null };
  if (!face) return row;
  Object.assign(row, face, face.quality, face.pose ?? {}, { face: number, reason: face.reason || null });
  [row.x0, row.y0, row.x1, row.y1] = face.box;
  (face.landmarks ?? []).forEach(([x, y], i) => Object.assign(row, { [`${LANDMARKS[i]}_x`]: x, [`${LANDMARKS[i]}_y`]: y }));
  const put = (prefix, values) => {
    for (const [label, value] of Object.entries(values ?? {})) row[`${prefix}${label}`] = value;
  };
  put("p_", face.probabilities);
  put("raw_", face.raw);
  for (const [head, values] of Object.entries(face.heads)) put(`p_${head}_`, values);
  return row;
}

function cell(value, kind) {
  if (value === null || value === undefined) return "";
  if (kind === "boolean") return value ? "true" : "false";
  if (kind === "float") return nineDigits(value);
  if (kind === "time") return pythonFloat(Number(value.toFixed(6)));
  const text = String(value).replace(/\p{Surrogate}/gu, (odd) => `\\u${odd.charCodeAt(0).toString(16)}`);
  return kind === "text" && /^[=+\-@\t\r]/.test(text) ? `./${text}` : text;
}

// Python's format(value, ".9g").
export function nineDigits(value) {
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [digits, exponent] = value.toExponential(8).split("e");
  const power = Number(exponent);
  const bare = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (power < -4 || power >= 9) {
    return `${bare(digits)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return bare(value.toFixed(Math.max(0, 8 - power)));
}

const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

// Markers of a session as a BIDS events file.
export function markersTsv(markers) {
  const lines = markers.map(({ time_s, name }) => `${pythonFloat(Number(time_s.toFixed(6)))}\t0.0\t${name.replace(/\s+/g, " ")}\n`);
  return `onset\tduration\ttrial_type\n${lines.join("")}`;
}
