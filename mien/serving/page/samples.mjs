// Drawn faces for those who have no picture at hand. They are analysed like any other picture.
import { h } from "./dom.mjs";

const SAMPLES = [
  ["happy", "A drawn face, laughing"],
  ["surprise", "A drawn face, mouth open"],
  ["sad", "A drawn face, corners of the mouth down"],
  ["angry", "A drawn face, brows drawn together"],
  ["neutral", "A drawn face at rest"],
  ["fear", "A drawn face, eyes wide"],
  ["group", "Five drawn people"],
];

export function sampleList(add) {
  return h("ul", { class: "samples" }, SAMPLES.map(([name, words]) =>
    h("li", {}, h("button", { type: "button", class: "sample", "aria-label": words, "data-sample": name, onclick: async () => add([{ blob: await drawn(name), name: `drawn-${name}.png` }]) },
      h("img", { src: `samples/${name}.svg`, alt: "" }))),
  ));
}

// A drawing as a PNG, as large as it was drawn.
async function drawn(name) {
  const image = new Image();
  image.src = `samples/${name}.svg`;
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
