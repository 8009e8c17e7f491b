// The panel "Label": faces of one's own pictures, one after another, each given its label by a key or a click.
// The crops and labels go to the server's --collect folder, ready for `mien train DIR --init mien`.
import { announce, h, icon, plural } from "./dom.mjs";
import { asked, server } from "./engine.mjs";
import { sorted } from "./files.mjs";
import { replace } from "./focus.mjs";
import { on, state, tell } from "./state.mjs";
import { canTeach, chooser, collecting, correct, labelOfKey, takeBack, total } from "./teach.mjs";

const ACCEPT = "image/*,.heic,.heif,.tif,.tiff,.avif";
let root;
let queue = []; // pictures not looked at yet
let faces = []; // {blob, face, index, name, label, id}
let at = 0;
let looking = false;
let notes = [];

export function mount(panel) {
  root = panel;
  on("settings", look);
  on("model", render);
  on("collect", () => { if (!root.hidden) render(); });
  addEventListener("keydown", (event) => {
    if (root.hidden || !faces.length || document.querySelector("dialog[open]")) return;
    const single = state.settings.keys === "on";
    const label = single ? labelOfKey(event) : null;
    const act = label && faces[at] ? () => give(label) : { ArrowRight: () => step(1), ArrowLeft: () => step(-1), z: single && back }[event.key];
    if (!act || (event.key.startsWith("Arrow") && event.target.matches("[role=tab], input, select"))) return;
    event.preventDefault();
    act();
  });
  render();
}

export function add(files) {
  queue.push(...files);
  look();
}

// The faces of the next picture, found by the server while earlier ones are labelled.
async function look() {
  if (looking || !queue.length || !canTeach()) return render();
  looking = true;
  const blob = queue.shift();
  render();
  try {
    const { frame, crops } = await server.faces(blob, asked());
    if (crops) for (const face of frame.faces) faces.push({ blob, face, name: blob.name ?? "picture", label: null, id: null });
    if (!crops && frame.faces.length) notes.push(`${blob.name}: this browser cannot cut faces out of it; save it as JPEG or PNG`);
    if (!frame.faces.length) notes.push(`${blob.name}: no face found`);
  } catch (trouble) {
    notes.push(`${blob.name}: ${trouble.message}`);
  }
  looking = false;
  render();
  return look();
}

async function give(label) {
  const one = faces[at];
  if (one.waiting) return;
  one.waiting = true;
  try {
    if (one.id) await takeBack(one.id);
    const { id } = await correct(one.blob, label, one.face);
    Object.assign(one, { label, id });
    announce(`${label}. ${faces.length - at - 1} to go.`);
    at = Math.min(faces.length, at + 1);
  } catch (trouble) {
    notes.push(`${one.name}: ${trouble.message}`);
  }
  one.waiting = false;
  render();
}

function step(by) {
  at = Math.max(0, Math.min(faces.length, at + by));
  render();
}

async function back() {
  const one = faces[at - 1];
  if (!one) return;
  if (one.id) await takeBack(one.id).catch((trouble) => notes.push(trouble.message));
  Object.assign(one, { label: null, id: null });
  at -= 1;
  render();
}

function picker(words, isFolder, main) {
  const input = h("input", { type: "file", accept: ACCEPT, multiple: true, webkitdirectory: isFolder || null, class: "unseen", tabindex: "-1", "aria-hidden": "true", onchange: () => {
    const { stills, words } = sorted({ files: [...input.files] }, false);
    if (words) notes.push(`left out: ${words}`);
    add(stills);
    input.value = "";
  } });
  return [h("button", { type: "button", class: `button${main ? " main" : ""}`, "data-keep": words, onclick: () => input.click() }, icon("picture"), words), input];
}

function render() {
  if (!collecting()) return;
  const one = faces[at];
  const head = [
    h("div", { class: "row" }, picker("Choose pictures", false, !faces.length), picker("Choose a folder", true, false)),
    h("p", { class: "fine" }, `${plural(total(), "face")} kept so far. `, total() && state.server.collect.command ? ["To train on them: ", h("code", {}, state.server.collect.command)] : null),
    notes.length ? h("details", {}, h("summary", {}, plural(notes.length, "message")), h("ul", {}, notes.map((note) => h("li", {}, note)))) : null,
  ];
  const away = canTeach() ? null : h("div", { class: "notice warn" },
    h("p", {}, `Labels are kept on the server. Choose “On the server” above to label.${queue.length ? ` ${plural(queue.length, "picture waits", "pictures wait")}.` : ""}`),
    h("button", { type: "button", class: "button small", onclick: () => tell("choose-place", "server") }, "Use the server"));
  if (!faces.length) {
    replace(root, h("div", { class: "stack" }, away, h("div", { class: "hero" }, h("h1", {}, "Label your own pictures"), h("p", {}, "Choose pictures or a folder. Faces are shown one at a time; give each its label with a key or a click. The server keeps the crop and its label, and nothing else of the picture."), head)));
    return;
  }
  replace(root, h("div", { class: "stack" }, h("h1", { class: "unseen" }, "Label"), away, head, one ? question(one) : h("div", { class: "card stack" }, h("h2", {}, queue.length || looking ? "Looking for more faces" : "All labelled"), h("div", {}, h("button", { type: "button", class: "button", onclick: () => step(-1) }, "Back to the last one")))));
}

function question(one) {
  const canvas = h("canvas", { width: 480, height: 480, class: "to-label", role: "img", "aria-label": `A face of ${one.name}` });
  draw(canvas, one);
  return h("div", { class: "columns" },
    h("div", { class: "stage" }, canvas),
    h("div", { class: "card stack" },
      h("h2", {}, "How does this face look?"),
      h("p", { class: "fine" }, `${at + 1} of ${faces.length}${queue.length ? " or more" : ""} · ${one.name}`),
      chooser(give, { current: one.label }),
      h("div", { class: "row" }, h("button", { type: "button", class: "button small", "data-keep": "back", onclick: () => step(-1) }, "← Back"), h("button", { type: "button", class: "button small", "data-keep": "skip", onclick: () => step(1) }, "Skip →"), h("button", { type: "button", class: "button small", "data-keep": "undo", onclick: back, disabled: !faces[at - 1]?.id }, icon("undo"), "Undo (Z)"))));
}

// The face with some of what surrounds it, in colour, as a person judges it.
async function draw(canvas, { blob, face }) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    return; // a kind that this browser cannot show
  }
  const [x0, y0, x1, y1] = face.box;
  const side = 1.5 * Math.max(x1 - x0, y1 - y0);
  canvas.getContext("2d").drawImage(bitmap, (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, side, 0, 0, canvas.width, canvas.height);
  bitmap.close();
}
