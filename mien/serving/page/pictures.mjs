// The panel "Pictures": drop, paste or choose; picture left, faces right; a strip of all; downloads.
import { boxes, mark } from "./boxes.mjs";
import { announce, fit, h, icon, percent, plural, put, save, sentence } from "./dom.mjs";
import { asked, engine } from "./engine.mjs";
import { toCsv, toJson, toSettings } from "./export.mjs";
import { faceCard } from "./face_card.mjs";
import { renew, replace } from "./focus.mjs";
import { sampleList } from "./samples.mjs";
import { on, state, tell } from "./state.mjs";
import { Strip } from "./strip.mjs";
import { canTeach, correction, labelOfKey } from "./teach.mjs";

const ACCEPT = "image/*,.heic,.heif,.tif,.tiff,.avif";
const MOST_SAID = 8; // faces of a picture, to somebody who listens
const items = []; // {name, blob, url, status, version, frame, crops, ms, place, settings, under (both as text), trouble}
let current = null; // the item that is shown
let working = 0;
let batch = 0; // how many were waiting together, until all are done
let versions = 0;
let slots = null; // the parts of the panel, each made anew only when what it shows has changed
let root;

export function mount(panel) {
  root = panel;
  on("settings", render);
  on("model", render);
  render();
}

// Files as a person gave them; what is no picture becomes an item that says so.
export function add(files) {
  const added = files.map(({ blob, name }) => ({ name, blob, url: URL.createObjectURL(blob), status: "waiting", version: versions++ }));
  items.push(...added);
  current = added[0] ?? current;
  batch += added.length;
  render();
  work();
}

function become(item, values) {
  Object.assign(item, values, { version: versions++ });
}

async function work() {
  const lanes = state.settings.place === "server" ? 2 : 1;
  const next = items.find((item) => item.status === "waiting");
  if (!next || working >= lanes) return;
  working += 1;
  become(next, { status: "busy" });
  work();
  render();
  const settings = asked();
  const { place } = engine();
  try {
    const result = await engine().faces(next.blob, settings);
    result.frame.source = next.name;
    become(next, { ...result, status: "done", place, settings, under: JSON.stringify([settings, place]), trouble: null });
  } catch (trouble) {
    become(next, { status: "failed", trouble, place, settings, frame: null });
  }
  working -= 1;
  render();
  tellResult(next);
  work();
}

// What failed is an alert already, where it is shown.
function tellResult(item) {
  const isLast = !items.some(({ status }) => status === "waiting" || status === "busy");
  if (isLast && batch > 1) {
    const faces = items.reduce((sum, { frame }) => sum + (frame?.faces.length ?? 0), 0);
    const failed = items.filter(({ status }) => status === "failed").length;
    announce(`All ${items.length} pictures are analysed: ${plural(faces, "face")}${failed ? `, ${failed} failed` : ""}.`);
  } else if (item === current && item.status === "done") announce(summary(item));
  if (isLast) batch = 0;
}

function again(all) {
  for (const item of all) if (item.status !== "busy") become(item, { status: "waiting" });
  batch += all.length;
  render();
  work();
}

function clear() {
  for (const item of items) URL.revokeObjectURL(item.url);
  items.length = 0;
  current = null;
  batch = 0;
  render();
}

function summary(item) {
  if (item.status === "failed") return `${item.name}: ${item.trouble.message}`;
  if (item.status !== "done") return `${item.name}: being analysed`;
  const faces = item.frame.faces.map((face) => `${face.label} ${percent(face.probabilities[face.label])}`);
  const rest = faces.length > MOST_SAID ? ` and ${faces.length - MOST_SAID} more` : "";
  return `${item.name}: ${faces.length ? `${plural(faces.length, "face")}: ${faces.slice(0, MOST_SAID).join(", ")}${rest}` : "no face found"}`;
}

function render() {
  if (!items.length) {
    if (slots || !root.firstChild) replace(root, beginning());
    slots = null;
    return;
  }
  const isNew = !slots;
  if (isNew) {
    const [bar, held, beside] = ["row row-end", "stage", "stack"].map((name) => h("div", { class: name }));
    slots = { bar, stage: held, side: beside, stale: h("div", { class: "stack" }), progress: h("p", { class: "fine" }), strip: new Strip(summary, show) };
  }
  const now = JSON.stringify([asked(), engine().place]);
  const stale = items.filter((one) => one.status === "done" && one.under !== now);
  const { version, status } = current;
  const done = items.filter((item) => item.status === "done" || item.status === "failed");
  renew(slots.bar, [Boolean(state.model), done.length > 0], () => downloads(done.length));
  const failed = items.filter((one) => one.status === "failed" && canHelp(one));
  renew(slots.stale, [stale, failed].map((some) => some.map((one) => one.version)), () => [notice(stale, "analysed with other settings or elsewhere", "Analyse again"), failed.length > 1 ? notice(failed, "not analysed", "Try all again") : null]);
  slots.stale.hidden = !slots.stale.firstChild;
  const answered = status === "done" || status === "failed" ? version : "";
  renew(slots.stage, [current.url, answered], () => stage(current));
  renew(slots.side, [current.url, answered, canTeach(), status === "failed" && engine().place], () => side(current));
  slots.strip.update(items, current);
  slots.progress.hidden = done.length === items.length || items.length < 2;
  put(slots.progress, `${done.length} of ${items.length} pictures analysed`);
  if (isNew) replace(root, frameOf(slots));
}

function show(item) {
  current = item;
  render();
}

function beginning() {
  return h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "hero" },
      h("h1", {}, "What does this face look like to others?"),
      h("p", {}, "Drop pictures here, paste one, or choose some. Each face gets its likeliest expression, a probability for every one, and a note where the answer should not be relied on."),
      h("div", { class: "row" }, picker("Choose pictures", true), h("a", { class: "button", href: "#/camera" }, icon("camera"), "Use the camera")),
    ),
    h("div", { class: "stack" }, h("h2", {}, "No picture at hand? Try a drawing"), sampleList(add)),
  );
}

function frameOf({ bar, progress, stale, stage: held, side: beside, strip }) {
  return h(
    "div",
    { class: "stack" },
    h("div", { class: "row" }, h("h1", { class: "unseen" }, "Pictures"), picker("Add pictures", false), h("button", { type: "button", class: "button", onclick: clear }, "Start over"), bar),
    stale,
    h("div", { class: "columns" }, h("div", { class: "stack sticky" }, held, strip.element, progress), beside),
  );
}

function notice(some, what, words) {
  if (!some.length) return null;
  return h("div", { class: "notice" }, h("p", {}, `${plural(some.length, "picture was", "pictures were")} ${what}.`), h("button", { type: "button", class: "button small", "data-keep": words, onclick: () => again(some) }, words));
}

function picker(words, main) {
  const input = h("input", { type: "file", accept: ACCEPT, multiple: true, class: "unseen", tabindex: "-1", "aria-hidden": "true", onchange: () => {
    add([...input.files].map((file) => ({ blob: file, name: file.name })));
    input.value = "";
  } });
  const button = h("button", { type: "button", class: `button${main ? " main" : ""}`, "data-keep": "choose", onclick: () => input.click() }, icon("picture"), words);
  return [button, input];
}

function downloads(any) {
  const done = () => items.filter((item) => item.status === "done" || item.status === "failed");
  const frames = () => done().map((item) => item.frame ?? { source: item.name, index: 0, time_s: null, width: 0, height: 0, detector: state.model?.detector.name ?? "", faces: [], error: item.trouble.message });
  const give = (text, type, name) => save(new Blob([text], { type }), name);
  const buttons = [
    ["CSV", () => give(toCsv(frames(), state.model), "text/csv", "faces.csv")],
    ["JSON", () => give(toJson(frames(), state.model), "application/json", "faces.json")],
    ["Settings", () => give(toSettings(state.model, done()[0].settings, done()[0].frame?.prior), "application/json", "faces.settings.json")],
  ].map(([name, act]) => h("button", { type: "button", class: "button small", onclick: act, "data-keep": name, disabled: !state.model || !any }, icon("download"), name));
  return [h("span", { class: "fine" }, "Download"), buttons];
}

function stage(item) {
  const frame = item.frame;
  const inner = h("div", { class: "stage-inner" });
  const image = h("img", { src: item.url, alt: frame ? `${item.name}, with ${frame.faces.length ? plural(frame.faces.length, "face") : "no face"} marked` : item.name });
  image.addEventListener("load", () => {
    fit(inner, image.naturalWidth, image.naturalHeight);
    scrolls(slots?.stage);
  });
  image.addEventListener("error", () => image.replaceWith(sheet(frame)));
  inner.append(image);
  if (frame) fit(inner, frame.width, frame.height);
  if (frame?.faces.length) inner.append(boxes(frame, { onChoose: choose, onMark: (i, marked) => mark(root, i, marked) }));
  if (item.status === "busy" || item.status === "waiting") {
    inner.append(h("div", { class: "over" }, h("p", { class: "busy" }, "Looking for faces")));
  }
  return inner;
}

// A panorama is scrolled, by keys too.
function scrolls(held) {
  if (!held) return;
  const isWide = held.scrollWidth > held.clientWidth;
  for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", "The picture, which scrolls"]]) {
    if (isWide) held.setAttribute(name, value);
    else held.removeAttribute(name);
  }
}

// Where a browser cannot show the picture: its shape, for the boxes to lie in.
function sheet(frame) {
  const [width, height] = frame ? [frame.width, frame.height] : [3, 1];
  return h("div", { class: "sheet", role: "img", "aria-label": "This browser cannot show the file", vars: { "aspect-ratio": `${width} / ${height}` } }, frame?.faces.length ? null : "No preview");
}

function choose(i) {
  const head = root.querySelector(`[data-face="${i + 1}"] .face-head`);
  if (head.getAttribute("aria-expanded") === "false") head.click();
  head.focus({ preventScroll: true });
  head.scrollIntoView({ block: "nearest" });
}

function side(item) {
  const title = h("h2", {}, h("bdi", {}, item.name));
  if (item.status === "failed") return [title, failure(item)];
  if (item.status !== "done") return [title, h("p", { class: "soft" }, "Being analysed.")];
  const { frame, crops } = item;
  const where = item.place === "server" ? "on the server" : "on this device";
  const facts = [plural(frame.faces.length, "face"), `${time(item.ms)} ${where}`];
  if (frame.prior) facts.push(`prior: ${frame.prior.includes("=") ? "my own" : frame.prior}`);
  if (item.settings.mode === "best") facts.push("14 views");
  if (frame.note) facts.push(frame.note);
  const about = h("p", { class: "fine" }, facts.flatMap((fact, i) => [i ? " · " : null, h("span", { class: "fact" }, fact)]));
  if (!frame.faces.length) {
    return [title, about, h("div", { class: "card stack" }, h("h3", {}, "No face found"), h("p", { class: "soft" }, "Faces that are very small, in profile or mostly covered are missed. A larger picture or a larger detector size in the settings may help."))];
  }
  return [
    title,
    about,
    h("ul", { class: "faces" }, frame.faces.map((face, i) => {
      const teach = canTeach() && item.place === "server" && crops ? correction(item.blob, face, (trouble) => complain(item, trouble)) : null;
      return faceCard(face, i + 1, {
        open: frame.faces.length <= 2 || i === 0,
        crop: crops?.[i] ?? null,
        onMark: (marked) => mark(root, i, marked),
        extra: teach?.element,
        onKey: teach && ((event) => {
          const label = labelOfKey(event);
          if (label) teach.send(label);
        }),
      });
    })),
  ];
}

const time = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

function complain(item, trouble) {
  announce(trouble.message);
  root.querySelector(".faces")?.before(h("p", { class: "notice bad", role: "alert" }, `${trouble.message} ${trouble.hint ?? ""}`));
}

function failure(item) {
  const { trouble } = item;
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, h("b", {}, TITLES[trouble.code] ?? "This picture could not be analysed", h("span", { class: "unseen" }, ". ")), h("br"), sentence(trouble.message), trouble.hint ? [h("br"), sentence(trouble.hint)] : null),
    remedies(item).map(([words, act]) => h("button", { type: "button", class: "button small", onclick: act }, words)),
  );
}

// What can be done: a file that is no picture stays none, another place may do better.
function remedies(item) {
  const { code } = item.trouble;
  const elsewhere = (place) => () => { tell("choose-place", place); again([item]); };
  const remedy = [];
  if (code === "not-here") remedy.push(["Send it to the server", elsewhere("server")]);
  if (item.place === "server" && ELSEWHERE.has(code) && state.model && !state.model.missing) remedy.push(["Use this device", elsewhere("device")]);
  if (canHelp(item)) remedy.push(["Try again", () => again([item])]);
  remedy.push(["Remove it", () => remove(item)]);
  return remedy;
}

function remove(item) {
  URL.revokeObjectURL(item.url);
  const at = items.indexOf(item);
  items.splice(at, 1);
  current = items[Math.min(at, items.length - 1)] ?? null;
  render();
}

// Whether another try can end otherwise.
const canHelp = ({ trouble: { code }, place }) => !HOPELESS.has(code) && (code !== "not-here" || place !== engine().place);

const HOPELESS = new Set(["not-a-picture", "unreadable-picture", "empty", "empty-body"]);
const ELSEWHERE = new Set(["too-large", "too-many-bytes", "too-many-pixels", "offline", "queue-full", "answer-too-slow", "rate-limited"]);

const TITLES = {
  "too-large": "Too large",
  "too-many-bytes": "Too large",
  "too-many-pixels": "Too large",
  "not-a-picture": "Not a picture",
  "unreadable-picture": "Not a picture",
  "not-here": "Not on this device",
  empty: "Empty file",
  "empty-body": "Empty file",
  offline: "Offline",
  "queue-full": "The server is busy",
  "answer-too-slow": "The server is busy",
  "rate-limited": "Too many requests",
  unauthorized: "A token is needed",
};
