// The panel "Video": a file is looked at a few times a second, from its beginning to its end; then people,
// their timelines, and the tables that mien predict would write.
import { boxes } from "./boxes.mjs";
import { Cuts, HEIGHT, shrunkGray, WIDTH } from "./cuts.mjs";
import { announce, fit, h, icon, percent, plural, put, sentence } from "./dom.mjs";
import { asked, engine, ruleInUse } from "./engine.mjs";
import { replace } from "./focus.mjs";
import { People } from "./people.mjs";
import { Session } from "./session.mjs";
import { labels, state } from "./state.mjs";
import { Timeline } from "./timeline.mjs";

const RATES = { 1: "1 a second", 2: "2 a second", 5: "5 a second", 10: "10 a second" };
const SMOOTH_S = 0.3;
const WAIT_MS = 15_000;

let root;
let opening = null; // the file chosen last
let film = null; // the open file and what is known of it

export function mount(panel) {
  root = panel;
  beginning();
}

export function leave() {
  film?.player.pause();
}

function picker(words, main) {
  const input = h("input", { type: "file", accept: "video/*,.mkv,.mov", class: "unseen", tabindex: "-1", "aria-hidden": "true", onchange: () => {
    if (input.files[0]) open(input.files[0]);
    input.value = "";
  } });
  return [h("button", { type: "button", class: `button${main ? " main" : ""}`, "data-keep": "choose", onclick: () => input.click() }, icon("film"), words), input];
}

function beginning(problem = null) {
  replace(root,
    h("div", { class: "stack" },
      problem ? h("p", { class: "notice bad", role: "alert" }, problem) : null,
      h("div", { class: "hero" }, h("h1", {}, "Expressions over time"),
        h("p", {}, "Choose a video, or drop one here. Each person is followed from frame to frame and gets a timeline. The answers for all frames can be downloaded as a table."),
        h("div", { class: "row" }, picker("Choose a video", true)))),
  );
}

export async function open(file) {
  close();
  opening = file;
  replace(root, h("div", { class: "hero" }, h("h1", {}, h("bdi", {}, file.name)), h("p", { class: "busy" }, "Opening")));
  const url = URL.createObjectURL(file);
  const player = h("video", { src: url, controls: true, playsInline: true, preload: "auto", "aria-label": file.name });
  player.muted = true;
  try {
    await loaded(player);
  } catch {
    URL.revokeObjectURL(url);
    if (opening === file) beginning(`${file.name}: got a file that this browser cannot play; expected a video such as MP4 or WebM. Fix: convert it, or use mien predict (extra [video]), which reads more formats.`);
    return null;
  }
  if (opening !== file) return URL.revokeObjectURL(url); // another was chosen meanwhile
  film = { file, url, player, perSecond: 5, session: new Session(file.name), rows: new Map(), chosen: null, job: null };
  film.timeline = new Timeline({ onSeek: (time) => { player.currentTime = Math.max(0, Math.min(player.duration, time)); } });
  for (const event of ["timeupdate", "seeked", "play"]) player.addEventListener(event, mark);
  return layout();
}

function close() {
  if (!film) return;
  if (film.job) film.job.stopped = true;
  URL.revokeObjectURL(film.url);
  film = null;
}

const eventOf = (target, name, bad = "error") =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no answer")), WAIT_MS);
    target.addEventListener(name, () => { clearTimeout(timer); resolve(); }, { once: true });
    target.addEventListener(bad, () => { clearTimeout(timer); reject(new Error(bad)); }, { once: true });
  });

// Until its size and length are known; recordings of browsers have no length until their end was sought.
async function loaded(player) {
  await eventOf(player, "loadeddata");
  if (!player.videoWidth) throw new Error("no picture");
  if (Number.isFinite(player.duration)) return;
  player.currentTime = 1e7;
  await eventOf(player, "seeked");
  player.currentTime = 0;
  await eventOf(player, "seeked");
}

function layout() {
  const { player, session, job, perSecond } = film;
  const inner = h("div", { class: "stage-inner", id: "film" }, player);
  fit(inner, player.videoWidth, player.videoHeight);
  const rate = h("select", { id: "rate", "data-keep": "rate", disabled: Boolean(job), onchange: (event) => { film.perSecond = Number(event.target.value); } }, Object.entries(RATES).map(([value, text]) => h("option", { value, selected: Number(value) === perSecond }, text)));
  Object.assign(film, { holder: inner, marks: null });
  mark();
  film.bar = h("progress", { max: "1", value: "0", "aria-label": "How much has been analysed" });
  film.words = h("p", { class: "fine" });
  replace(root,
    h("div", { class: "stack" },
      h("h1", { class: "unseen" }, "Video"),
      h("div", { class: "row" }, picker("Another video", false), h("label", { class: "field" }, "Frames", rate),
        h("button", { type: "button", class: "button main", "data-keep": "analyse", onclick: () => (job ? halt() : analyse()) }, job ? "Stop" : session.frames.length ? "Analyse again" : "Analyse"),
        h("div", { class: "row row-end" }, session.frames.length && !job ? session.downloads() : null)),
      job ? h("div", { class: "stack" }, film.bar, film.words) : film.problem ? h("p", { class: "notice bad", role: "alert" }, film.problem) : null,
      h("div", { class: "columns" }, h("div", { class: "stack" }, h("div", { class: "stage" }, inner)), h("div", { class: "stack" }, h("h2", {}, h("bdi", {}, film.file.name)), people())),
      session.frames.length ? h("section", { class: "card stack" }, h("div", { class: "row" }, h("h2", {}, "Timeline"), chips()), film.timeline.element, h("p", { class: "fine" }, "Click the chart to go to that moment of the video.")) : null),
  );
  if (session.frames.length) film.timeline.set(film.rows.get(film.chosen) ?? []);
}

function halt() {
  film.job.stopped = true;
}

// Sought frame by frame in a second player, so that no frame depends on how fast this machine is.
async function analyse() {
  const mine = film;
  const job = { stopped: false };
  const source = h("video", { src: film.url, preload: "auto", playsInline: true });
  source.muted = true;
  const people = new People({ smoothS: SMOOTH_S, rules: state.model?.quality, certainFrom: ruleInUse().certain_from });
  Object.assign(film, { job, rows: new Map(), chosen: null, problem: null });
  const settings = { ...asked(), mode: "fast", maxSide: Math.min(asked().maxSide, 640) };
  film.session.start(settings);
  layout();
  const { duration } = film.player;
  const count = Math.max(1, Math.floor(duration * film.perSecond));
  const step = 1 / film.perSecond;
  const canvas = h("canvas", { width: film.player.videoWidth, height: film.player.videoHeight });
  const small = h("canvas", { width: WIDTH, height: HEIGHT });
  const cuts = new Cuts();
  try {
    await loaded(source);
    for (let i = 0; i < count && !job.stopped && mine === film; i++) {
      await seek(source, Math.min(i * step, Math.max(0, duration - 0.001)));
      canvas.getContext("2d").drawImage(source, 0, 0);
      const { frame } = await engine().faces(await createImageBitmap(canvas), settings);
      Object.assign(frame, { index: i, time_s: Number((i * step).toFixed(6)) });
      if (cuts.isCut(shrunkGray(canvas, small))) people.cut();
      people.follow(frame);
      mine.session.add(frame);
      keep(mine, frame);
      mine.bar.value = (i + 1) / count;
      put(mine.words, `${i + 1} of ${count} frames, ${plural(mine.rows.size, "person", "people")} so far`);
      if (Math.floor((4 * (i + 1)) / count) > Math.floor((4 * i) / count) && i + 1 < count) announce(mine.words.textContent);
    }
  } catch (error) {
    mine.problem = `${error.message} ${error.hint ?? ""} The frames analysed until then are below.`;
  }
  mine.session.stop();
  mine.job = null;
  source.removeAttribute("src");
  if (mine !== film) return;
  layout();
  announce(`${plural(mine.session.frames.length, "frame")} analysed, ${plural(mine.rows.size, "person", "people")} found.`);
}

async function seek(source, time) {
  if (Math.abs(source.currentTime - time) < 1e-6 && source.readyState >= 2 && !source.seeking) return;
  const done = eventOf(source, "seeked");
  source.currentTime = time;
  await done;
}

function keep(mine, frame) {
  for (const face of frame.faces) if (!mine.rows.has(face.track)) mine.rows.set(face.track, []);
  for (const [track, rows] of mine.rows) {
    const face = frame.faces.find((one) => one.track === track);
    rows.push({ time: frame.time_s, probabilities: face?.probabilities ?? null });
  }
  mine.chosen ??= mine.rows.keys().next().value ?? null;
}

// Boxes of the frame that was looked at last before the player's time.
function mark() {
  if (!film?.holder) return;
  const { holder } = film;
  const time = film.player.currentTime + 1e-3;
  const last = film.session.frames.findLast((one) => one.time_s <= time);
  const frame = last && time - last.time_s <= 1.5 / film.perSecond ? last : null;
  if (film.marks?.frame === frame) return;
  const { element } = film.marks ?? {};
  const keep = element?.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
  element?.remove();
  film.marks = { frame };
  if (frame?.faces.length) {
    const people = frame.faces.map((face) => `Person ${face.track + 1}`);
    film.marks.element = boxes(frame, { names: (i) => people[i], numbers: (i) => frame.faces[i].track + 1, onChoose: (i) => choose(frame.faces[i].track) });
    holder.append(film.marks.element);
  }
  if (keep) (holder.querySelector(`[data-keep="${keep}"]`) ?? film.player).focus({ preventScroll: true });
}

function choose(track) {
  film.chosen = track;
  film.player.pause();
  layout();
}

function chips() {
  return h("div", { class: "row", role: "group", "aria-label": "Whose timeline" }, [...film.rows.keys()].map((track) =>
    h("button", { type: "button", class: "button small", "data-keep": `person-${track}`, "aria-pressed": String(track === film.chosen), onclick: () => choose(track) }, `Person ${track + 1}`)));
}

// Each person: for how long, and which expressions for how much of it.
function people() {
  const { session, rows } = film;
  if (!session.frames.length) return h("p", { class: "soft" }, film.job ? "Being analysed." : "Not analysed yet. Choose how many frames a second, then “Analyse”.");
  if (!rows.size) return h("div", { class: "card stack" }, h("h3", {}, "No face found"), h("p", { class: "soft" }, "None of the frames analysed shows a face. A larger detector size in the settings may help."));
  return h("ul", { class: "faces" }, [...rows].map(([track, list]) => {
    const seen = list.flatMap((row) => (row.probabilities ? [row.probabilities] : []));
    const share = Object.fromEntries(labels().map((label) => [label, seen.filter((p) => label === top(p)).length / seen.length]));
    const most = Object.entries(share).filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1]);
    return h("li", { class: "card stack" }, h("h3", {}, `Person ${track + 1}`),
      h("p", { class: "fine" }, `Seen in ${plural(seen.length, "frame")}, about ${(seen.length / film.perSecond).toFixed(1)} s. ${sentence(most.map(([label, value]) => `${label} ${percent(value)}`).join(", "))}`));
  }));
}

const top = (probabilities) => Object.keys(probabilities).reduce((best, label) => (probabilities[label] > probabilities[best] ? label : best));
