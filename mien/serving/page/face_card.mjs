// A face as a card: what the network saw, the word, bars with numbers, the reason, the other heads.
import { h, percent } from "./dom.mjs";
import { colourOf, patternOf } from "./state.mjs";

const HEADS = {
  fer2013: "Trained on FER2013's labels",
  votes: "Trained on the votes of ten people a face",
  crowd: "Trained on the votes of ten people a face",
};

// Between words that only their place keeps apart, for who hears them.
export const pause = () => h("span", { class: "unseen" }, ", ");

// number: counted from 1. options: {open, crop, onMark(on), onToggle(), extra: Node, onKey(event)}
export function faceCard(face, number, { open = true, crop = null, onMark, onToggle, extra = null, onKey = null, name = `Face ${number}` } = {}) {
  const id = `face-body-${number}-${Math.random().toString(36).slice(2, 8)}`;
  const head = h(
    "button",
    { class: "face-head", type: "button", "aria-expanded": String(open), "aria-controls": id },
    crop ? thumbnail(crop) : h("span", { class: "no-thumb" }, "no preview"),
    h("span", {}, h("span", { class: "word" }, face.label), pause(), h("span", { class: "sub" }, face.uncertain ? `${name}, uncertain` : name)),
    pause(),
    h("span", { class: "chance" }, percent(face.probabilities[face.label])),
  );
  const body = h(
    "div",
    { class: "face-body", id, hidden: !open },
    face.reason ? h("p", { class: "reason" }, `Uncertain: ${face.reason}.`) : null,
    bars(face.probabilities),
    extra,
    headsOf(face),
    detailsOf(face),
  );
  const card = h("li", { class: "card face", "data-face": String(number) }, h("h3", {}, head), body);
  head.addEventListener("click", () => {
    const opened = body.hidden;
    body.hidden = !opened;
    head.setAttribute("aria-expanded", String(opened));
    onToggle?.(opened);
  });
  if (onKey) card.addEventListener("keydown", onKey);
  for (const [event, marked] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]]) {
    card.addEventListener(event, () => onMark?.(marked));
  }
  return card;
}

// crop: Uint8Array of side * side gray values.
export function thumbnail(crop, size = 96) {
  const side = Math.round(Math.sqrt(crop.length));
  const canvas = h("canvas", { width: size, height: size, "aria-hidden": "true" });
  const small = new OffscreenCanvas(side, side);
  const image = new ImageData(side, side);
  crop.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  small.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, size, size);
  return canvas;
}

// Sorted, the likeliest first. `rest`: probabilities at rest, each then with its change from it.
export function bars(probabilities, { rest = null, sorted = true } = {}) {
  const rows = Object.entries(probabilities);
  if (sorted) rows.sort((a, b) => b[1] - a[1]);
  const likeliest = Math.max(...rows.map(([, p]) => p));
  return h(
    "ul",
    { class: "bars", "aria-label": "Probabilities" },
    rows.map(([label, p]) =>
      h(
        "li",
        { class: `bar${p === likeliest ? " first" : ""}${rest ? " with-change" : ""}` },
        h("span", { class: "bar-name" }, label),
        h(
          "span",
          { class: "bar-track", "aria-hidden": "true" },
          h("span", { class: `bar-fill moves p${patternOf(label)}`, vars: { "--c": colourOf(label), width: `${100 * p}%` } }),
          rest ? h("span", { class: "bar-rest", vars: { left: `${100 * rest[label]}%` } }) : null,
        ),
        h("span", { class: "bar-number" }, percent(p)),
        rest ? h("span", { class: "bar-change" }, signed(p - rest[label])) : null,
      ),
    ),
  );
}

function signed(value) {
  const points = Math.round(100 * value);
  return points === 0 ? "±0" : points > 0 ? `+${points}` : `−${-points}`;
}

function headsOf(face) {
  const heads = Object.entries(face.heads ?? {});
  if (!heads.length) return null;
  return h(
    "details",
    {},
    h("summary", {}, "The network's outputs one by one"),
    h(
      "div",
      { class: "stack" },
      heads.map(([name, probabilities]) => h("div", { class: "stack" }, h("p", { class: "fine" }, HEADS[name] ?? name), bars(probabilities))),
    ),
  );
}

const degrees = (value) => `${Math.round(value) < 0 ? "−" : ""}${Math.abs(Math.round(value))}°`;

function detailsOf(face) {
  const { quality } = face;
  const facts = [
    ["Size", `${Math.round(quality.size_px)} px`],
    ["Turned aside", quality.turn === null ? "n/a" : `${percent(quality.turn)} of the way to profile`],
    ["Sharpness", quality.sharpness.toFixed(2)],
    ["Entropy", `${percent(face.entropy)} (0: sure, 100: no idea)`],
    ["Detector's score", percent(face.score)],
  ];
  if (face.pose) facts.splice(3, 0, ["Head pose", ["yaw", "pitch", "roll"].map((axis) => `${axis} ${degrees(face.pose[axis])}`).join(", ")]);
  if (typeof face.valence === "number") facts.splice(3, 0, ["Valence", face.valence.toFixed(2)]);
  return h("details", {}, h("summary", {}, "How well it can be seen"), h("dl", { class: "facts" }, facts.map(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])));
}
