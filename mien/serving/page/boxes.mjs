// Faces marked in a picture: a button on each, linked with its card.
import { h, percent } from "./dom.mjs";
import { rove } from "./focus.mjs";
import { colourOf } from "./state.mjs";

// frame: whose faces; onChoose(index), onMark(index, on). One stop of the Tab key; arrows go to the next.
export function boxes(frame, options) {
  const holder = h("div", { class: "marks", role: "group", "aria-label": "Faces in the picture" }, buttons(frame, options));
  rove(holder, ".box");
  return holder;
}

function buttons(frame, { onChoose, onMark, names = (i) => `Face ${i + 1}`, numbers = (i) => i + 1 }) {
  const { width, height } = frame;
  return frame.faces.map((face, i) => {
    const [x0, y0, x1, y1] = face.box;
    const share = (value, of) => `${(100 * value) / of}%`;
    const place = placeOf(face.box, frame.faces.filter((other) => other !== face).map((other) => other.box), width, height);
    const isAlone = frame.faces.length === 1;
    const word = `${face.label}${face.uncertain ? "?" : ""}`;
    const probability = percent(face.probabilities[face.label]);
    return h(
      "button",
      {
        type: "button",
        class: `box moves${face.uncertain ? " uncertain" : ""}${isAlone ? " alone" : ""}`,
        "data-box": String(i),
        "data-keep": `box-${numbers(i)}`,
        "aria-label": `${names(i)}: ${face.label} ${probability}${face.uncertain ? ", uncertain" : ""}`,
        vars: { left: share(x0, width), top: share(y0, height), width: share(x1 - x0, width), height: share(y1 - y0, height), "--c": colourOf(face.label) },
        onclick: () => onChoose?.(i),
        onmouseenter: () => onMark?.(i, true),
        onmouseleave: () => onMark?.(i, false),
        onfocus: () => onMark?.(i, true),
        onblur: () => onMark?.(i, false),
      },
      h(
        "span",
        { class: `tag${place}${(isAlone ? (x0 + x1) / 2 / width > 0.5 : x0 / width > 0.66) ? " end" : ""}` },
        h("span", { class: "tag-number" }, String(numbers(i))),
        " ",
        h("span", { class: "tag-word" }, word),
        h("span", { class: "tag-share" }, ` ${probability}`),
      ),
    );
  });
}

// Above the box, or below it, where no edge cuts the tag off and it lies on nobody else; else inside.
function placeOf([x0, y0, x1, y1], others, width, height) {
  const room = Math.max(0.09 * height, 0.075 * width);
  const isFree = (top) => top >= 0 && top + room <= height && !others.some(([left, up, right, low]) => left < x1 && right > x0 && up < top + room && low > top);
  if (isFree(y0 - room)) return "";
  if (isFree(y1)) return " below";
  return !isFree(y0) && isFree(y1 - room) ? " within low" : " within";
}

// Mark face `index` in the picture and among the cards, or take the mark off.
export function mark(root, index, on) {
  for (const element of root.querySelectorAll(`[data-box="${index}"], [data-face="${index + 1}"]`)) element.classList.toggle("on", on);
}
