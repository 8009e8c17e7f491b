// "Teach it": a person's word for a face goes to the server's --collect folder. Only there, and only where
// the server was started with it; never in device mode.
import { h } from "./dom.mjs";
import { cornersOf, server } from "./engine.mjs";
import { labels, state, tell } from "./state.mjs";

export const collecting = () => Boolean(state.server?.collect?.on);
export const canTeach = () => collecting() && state.settings.place === "server";

const MOST_PX = 1024; // a side, of a crop that the server takes

// Send a face's crop and its word. -> {id, label, counts}
export async function correct(blob, label, face) {
  const answer = await server.teach(await cutFace(blob, face), label);
  learned(answer);
  return answer;
}

// The square that the network looks at, upright and in colour, at the picture's own resolution.
async function cutFace(blob, face) {
  const [corners, bitmap] = await Promise.all([cornersOf(face.box, face.landmarks), createImageBitmap(blob)]);
  const [[x, y], [rightX, rightY]] = corners;
  const side = Math.hypot(rightX - x, rightY - y);
  const size = Math.max(1, Math.min(MOST_PX, Math.round(side)));
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(128, 128, 128)"; // beyond the picture's edge
  context.fillRect(0, 0, size, size);
  context.imageSmoothingQuality = "high";
  context.scale(size / side, size / side);
  context.rotate(-Math.atan2(rightY - y, rightX - x));
  context.translate(-x, -y);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/png" });
}

export async function takeBack(id) {
  learned(await server.takeBack(id));
}

function learned(answer) {
  const collect = state.server.collect;
  state.server.collect = { ...collect, counts: answer?.counts ?? collect.counts };
  tell("collect", state.server.collect);
}

export const total = () => Object.values(state.server?.collect?.counts ?? {}).reduce((a, b) => a + b, 0);

// Buttons for all labels; digits choose while the focus is inside `scope`.
export function chooser(onChoose, { current = null } = {}) {
  return h(
    "div",
    { class: "choose", role: "group", "aria-label": "The right label" },
    labels().map((label, i) =>
      h(
        "button",
        { type: "button", "data-keep": label, onclick: () => onChoose(label), "aria-pressed": current === null ? null : String(label === current) },
        i < 9 ? h("kbd", { "aria-hidden": "true" }, String(i + 1)) : null,
        label,
      ),
    ),
  );
}

// The label that a key means, or null.
export function labelOfKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, textarea, input:not([type=radio], [type=checkbox], [type=range])")) return null;
  const digit = Number.parseInt(event.key, 10);
  return digit >= 1 && digit <= Math.min(9, labels().length) ? labels()[digit - 1] : null;
}

// For a face's card: "Not right?", then the words, then what was kept, with a way back. A digit does it at
// once while the focus is in the card. -> {element, send(label)}
export function correction(blob, face, onTrouble) {
  const holder = h("div", { class: "stack", onkeydown: (event) => { if (event.key === "Escape" && holder.querySelector(".choose")) cancel(); } });
  const cancel = () => {
    begin();
    holder.querySelector("button").focus();
  };
  const ask = () => {
    const choose = chooser(send, { current: face.label });
    holder.replaceChildren(
      h("p", { class: "fine" }, "Which label is right? The server keeps the face's crop under that label."),
      choose,
      h("div", {}, h("button", { class: "button small", type: "button", onclick: cancel }, "Cancel")),
    );
    choose.querySelector("button").focus();
  };
  const send = async (label) => {
    try {
      const { id } = await correct(blob, label, face);
      const back = h("button", { class: "button small", type: "button", onclick: () => undo(id) }, "Undo");
      holder.replaceChildren(h("p", { class: "row" }, h("span", {}, "Kept as ", h("b", {}, label), "."), back));
      back.focus();
    } catch (trouble) {
      cancel();
      onTrouble(trouble);
    }
  };
  const undo = async (id) => {
    try {
      await takeBack(id);
      begin();
      holder.querySelector("button").focus();
    } catch (trouble) {
      onTrouble(trouble);
    }
  };
  const begin = () =>
    holder.replaceChildren(
      h("div", { class: "row" }, h("button", { class: "button small", type: "button", onclick: ask }, "Not right? Correct it"), h("span", { class: "fine for-keys" }, `or press 1 to ${Math.min(9, labels().length)}`)),
    );
  begin();
  return { element: holder, send };
}
