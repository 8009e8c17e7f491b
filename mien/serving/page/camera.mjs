// The panel "Camera": consent first, then frames analysed one at a time, each drawn with its own answer.
import { announce, h, icon, percent, put } from "./dom.mjs";
import { asked, engine, ruleInUse } from "./engine.mjs";
import { replace } from "./focus.mjs";
import { LiveCard } from "./live_card.mjs";
import { LiveView } from "./live_view.mjs";
import { People } from "./people.mjs";
import { Session } from "./session.mjs";
import { on, state } from "./state.mjs";
import { Timeline } from "./timeline.mjs";

const SPAN_S = 60;
const REST_S = 3;
const GLIMPSE = 3; // rows of somebody gone, of whom no timeline is kept
const TROUBLES = {
  NotAllowedError: ["The camera was not allowed", "Allow the camera for this page, next to the browser's address bar, then try again."],
  system: ["The camera was not allowed", "The system keeps it from this browser. Allow it in the system's settings for privacy, then try again."],
  NotFoundError: ["No camera found", "Connect one, then try again. Pictures can be analysed without one."],
  NotReadableError: ["The camera is busy", "Another program or page is using it. Close that one, then try again."],
  AbortError: ["The camera is busy", "Another program or page is using it. Close that one, then try again."],
  OverconstrainedError: ["This camera is not there any more", "“Try again” takes another one."],
  ended: ["The camera is gone", "It was unplugged or taken away. Connect it again, then try again."],
};

let root;
let live = null; // everything of a running camera
let isStarting = false; // the browser asks, or the camera warms up
let kept = null; // what was recorded before the camera stopped

export function mount(panel) {
  root = panel;
  consent();
  on("settings", () => { if (live) renew(); else if (!root.querySelector("[data-trouble]")) consent(); });
  addEventListener("keydown", (event) => {
    const inField = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox" && event.target.type !== "range";
    if (live && !root.hidden && !inField && state.settings.keys === "on" && event.key.toLowerCase() === "m" && !event.ctrlKey && !event.metaKey) mark();
  });
  addEventListener("beforeunload", (event) => { if (kept?.isSaved === false || live?.session.isSaved === false) event.preventDefault(); });
  document.addEventListener("visibilitychange", () => { if (live && document.hidden) pause(true); });
}

export function leave() {
  if (live) stop();
}

const settings = () => ({ ...asked(), mode: "fast", maxSide: live?.maxSide ?? 320 });

// The settings changed while the camera runs.
function renew() {
  live.settings = settings();
  live.people.certainFrom = ruleInUse().certain_from;
}

function consent() {
  if (!navigator.mediaDevices?.getUserMedia) {
    replace(root, message("No camera on this page", [
      ...(isSecureContext
        ? ["This browser gives pages no camera."]
        : ["Browsers give a camera only to pages that come over https, or from this machine itself (localhost). This page came over plain http from another machine.",
          "Whoever runs the server can start it with --tls-cert and --tls-key."]),
      "Pictures and videos can be analysed all the same.",
    ], h("a", { class: "button main", href: "#/pictures" }, "To the pictures")));
    return;
  }
  const onServer = state.settings.place === "server";
  replace(root, message("Before the camera starts", [
    onServer
      ? "Frames are sent to this server, analysed and forgotten. With “On this device” above, none is sent."
      : "Frames are analysed in this page. None leaves this device, and none is kept unless you take a snapshot.",
    "Ask everybody who can be seen. What is shown is how a face looks to others, not what somebody feels. Do not use it to judge people, least of all at work or in education.",
  ], h("button", { type: "button", class: "button main", "data-keep": "start", onclick: () => start() }, icon("camera"), "Everybody agrees: start the camera")), recorded());
}

function message(title, texts, action, isTrouble = false) {
  return h("div", { class: "hero", "data-trouble": isTrouble }, h("h1", {}, title), texts.map((text) => h("p", { role: isTrouble ? "alert" : null }, text)), h("div", { class: "row" }, action));
}

// What was recorded outlives the camera: it was unplugged, stopped, or another tab was opened.
function recorded() {
  if (!kept) return null;
  return h("section", { class: "card stack after" }, h("h2", {}, "Recorded before the camera stopped"), h("div", { class: "row" }, h("p", { class: "fine" }, kept.summary()), kept.downloads()));
}

function trouble(error) {
  const name = error.name === "NotAllowedError" && /system/i.test(error.message) ? "system" : error.name;
  const [title, text] = TROUBLES[name] ?? ["The camera could not start", error.message];
  stop();
  replace(root, message(title, [text], [h("button", { type: "button", class: "button main", "data-keep": "start", onclick: () => start() }, "Try again"), h("a", { class: "button", href: "#/pictures" }, "To the pictures")], true), recorded());
}

const wanted = (deviceId) => ({ audio: false, video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" }) } });

async function start(deviceId = null) {
  if (isStarting) return;
  isStarting = true;
  if (live?.session.on) stopRecording("Recording stopped: another camera.");
  live?.view.close();
  const button = root.querySelector('[data-keep="start"]');
  button?.setAttribute("aria-disabled", "true");
  button?.replaceChildren(icon("camera"), "Waiting for the camera…");
  try {
    const stream = await navigator.mediaDevices.getUserMedia(wanted(deviceId));
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
    if (root.hidden) {
      for (const track of stream.getTracks()) track.stop();
      consent();
    } else await begin(stream, cameras);
  } catch (error) {
    trouble(error);
  }
  isStarting = false;
}

async function begin(stream, cameras) {
  live = {
    cameras,
    cameraId: stream.getVideoTracks()[0].getSettings().deviceId,
    maxSide: live?.maxSide ?? 320,
    people: new People({ smoothS: live?.smoothS ?? 0.3, rules: state.model?.quality, certainFrom: ruleInUse().certain_from }),
    smoothS: live?.smoothS ?? 0.3,
    session: live?.session ?? kept ?? new Session("camera"),
    marks: [],
    cards: new Map(),
    rows: new Map(), // track -> [{time, probabilities}]
    chosen: null,
    timeline: new Timeline({ spanS: SPAN_S }),
    index: 0,
    failures: 0,
  };
  live.settings = settings();
  live.view = new LiveView(stream, { mirror: true, onFrame: analyse });
  const [track] = stream.getVideoTracks();
  const { view } = live;
  const isOn = () => live?.view === view;
  track.addEventListener("ended", () => { if (isOn()) trouble({ name: "ended" }); });
  track.addEventListener("mute", () => { if (isOn()) warn("The camera gives no picture. Is it covered, or used by another program?"); });
  track.addEventListener("unmute", () => { if (isOn()) live.note.hidden = true; });
  kept = null;
  replace(root, layout());
  if (live.session.frames.length) live.downloads.replaceChildren(...live.session.downloads());
  await live.view.play();
  announce("The camera is on.");
}

// One frame: look, follow, show. Its answer is drawn on this very frame.
async function analyse(bitmap, timeS) {
  const mine = live;
  try {
    const { frame, crops } = await engine().faces(bitmap, mine.settings);
    if (mine !== live) return null;
    mine.failures = 0;
    Object.assign(frame, { source: "camera", index: mine.index++, time_s: timeS });
    mine.people.follow(frame);
    if (!mine.session.add(frame)) stopRecording("Recording stopped: there is no room for more frames.");
    show(frame, crops);
    return frame;
  } catch (error) {
    if (mine !== live) return null;
    mine.failures += 1;
    warn(`${error.message} ${error.hint ?? ""}`);
    if (mine.failures >= 3) pause(true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    return null;
  }
}

function warn(words) {
  live.note.hidden = false;
  put(live.note, words);
}

function show(frame, crops) {
  const { cards, people, rows, list } = live;
  live.note.hidden = true;
  const seen = new Set(frame.faces.map((face) => face.track));
  for (const [track, card] of cards) {
    if (!seen.has(track)) {
      card.element.remove();
      cards.delete(track);
    }
  }
  frame.faces.forEach((face, i) => {
    if (!cards.has(face.track)) {
      cards.set(face.track, new LiveCard(face.track));
      list.append(cards.get(face.track).element);
    }
    cards.get(face.track).update(face, crops?.[i] ?? null, people.rest.get(face.track) ?? null);
  });
  for (const track of seen) if (!rows.has(track)) rows.set(track, []);
  for (const [track, kept] of rows) {
    const face = frame.faces.find((one) => one.track === track);
    if (face || kept.at(-1)?.probabilities) kept.push({ time: frame.time_s, probabilities: face ? face.probabilities : null });
    while (kept.length && kept[0].time < frame.time_s - SPAN_S) kept.shift();
    if (!kept.length || (!face && kept.length <= GLIMPSE)) rows.delete(track);
  }
  if (!rows.has(live.chosen)) live.picked = false;
  if (!live.picked && !seen.has(live.chosen)) live.chosen = [...seen, ...rows.keys()].find((track) => rows.has(track)) ?? null;
  chips();
  live.timeline.set(rows.get(live.chosen) ?? [], live.marks);
  rest();
  rates();
  live.nobody.hidden = frame.faces.length > 0;
  const [first] = frame.faces;
  const words = first ? `Person ${first.track + 1}: ${first.label}, ${percent(first.probabilities[first.label])}` : "No face";
  if (words.split(",")[0] !== live.said) {
    live.said = words.split(",")[0];
    announce(words);
  }
}

function rates() {
  const { cameraRate, analysedRate } = live.view.rates();
  put(live.rate, `${analysedRate.toFixed(0)} frames a second analysed; the camera gives ${cameraRate.toFixed(0)}`);
  put(live.counted, live.session.on ? `Recording: ${live.session.summary()}` : live.session.frames.length ? `Recorded: ${live.session.summary()}` : "");
}

function chips() {
  const tracks = [...live.rows.keys()];
  const key = `${tracks}|${live.chosen}`;
  if (live.chipsKey === key) return;
  live.chipsKey = key;
  replace(live.chips, ...tracks.map((track) => h("button", { type: "button", class: "button small", "data-keep": `person-${track}`, "aria-pressed": String(track === live.chosen), onclick: () => pick(track) }, `Person ${track + 1}`)));
}

function pick(track) {
  Object.assign(live, { chosen: track, picked: true });
  chips();
  live.timeline.set(live.rows.get(track) ?? [], live.marks); // also while the camera pauses
}

function rest() {
  const { progress } = live.people;
  const { restButton } = live;
  if (progress !== null) put(restButton, `Keep a neutral face… ${Math.ceil((1 - progress) * REST_S)} s`);
  else put(restButton, live.people.rest.size ? "Forget my neutral face" : "Compare with my neutral face");
  restButton.setAttribute("aria-disabled", String(progress !== null)); // "disabled" would take the focus away
}

function learn() {
  const { people } = live;
  if (people.progress !== null) return;
  if (people.rest.size) people.forgetRest();
  else people.learnRest(REST_S);
  announce(people.progress === null ? "The neutral face is forgotten." : "Keep a neutral face for three seconds.");
}

function mark() {
  const name = `mark ${live.marks.length + 1}`;
  const marker = { time_s: live.view.now(), name };
  live.marks.push(marker);
  if (live.session.on) live.session.markers.push(marker);
  announce(`Marker ${live.marks.length}`);
}

function pause(off) {
  live.view.paused = off;
  live.pauseButton.replaceChildren(icon(off ? "play" : "pause"), off ? "Go on" : "Pause");
}

function record() {
  if (live.session.on) return stopRecording("Recording stopped.");
  live.session.start(live.settings);
  live.recordButton.setAttribute("aria-pressed", "true");
  live.recordButton.replaceChildren(icon("record"), "Stop recording");
  live.downloads.replaceChildren();
  return announce("Recording results. No picture is recorded.");
}

function stopRecording(words) {
  live.session.stop();
  live.recordButton.setAttribute("aria-pressed", "false");
  live.recordButton.replaceChildren(icon("record"), "Record results");
  live.downloads.replaceChildren(...live.session.downloads());
  rates();
  announce(words);
}

function stop() {
  if (!live) return;
  live.view.close();
  live.session.stop();
  if (live.session.frames.length) kept = live.session;
  live = null;
  consent();
}

function layout() {
  const button = (act, name, words, extra = {}) => h("button", { type: "button", class: "button small", onclick: act, ...extra }, icon(name), words);
  live.list = h("ul", { class: "faces" });
  live.nobody = h("p", { class: "soft" }, "Nobody is in sight.");
  live.note = h("p", { class: "notice warn", role: "status", hidden: true });
  live.rate = h("p", { class: "fine" });
  live.counted = h("p", { class: "fine" });
  live.chips = h("div", { class: "row", role: "group", "aria-label": "Whose timeline" });
  live.downloads = h("div", { class: "row" });
  live.pauseButton = button(() => pause(!live.view.paused), "pause", "Pause", { "data-keep": "start" });
  live.recordButton = button(record, "record", "Record results", { class: "button small record", "aria-pressed": "false" });
  live.restButton = h("button", { type: "button", class: "button small", onclick: learn }, "Compare with my neutral face");
  return h(
    "div",
    { class: "stack" },
    h("h1", { class: "unseen" }, "Camera"),
    h("div", { class: "columns" },
      h("div", { class: "stack" },
        h("div", { class: "stage" }, live.view.element),
        h("div", { class: "live-bar" }, live.pauseButton, live.recordButton, button(() => live.view.snapshot(), "snap", "Snapshot"), button(mark, "flag", "Marker (M)"), live.restButton, h("button", { type: "button", class: "button small", onclick: stop }, "Stop the camera")),
        fields(), live.rate, live.note, h("div", { class: "row" }, live.counted, live.downloads)),
      h("div", { class: "stack" }, live.nobody, live.list)),
    h("section", { class: "card stack" }, h("div", { class: "row" }, h("h2", {}, "The last minute"), live.chips), live.timeline.element),
  );
}

function fields() {
  const smoothing = h("input", { type: "range", id: "smoothing", min: "0", max: "2", step: "0.1", value: String(live.smoothS), "aria-valuetext": `${live.smoothS.toFixed(1)} s`, oninput: (event) => { live.smoothS = Number(event.target.value); live.people.smooth(live.smoothS); output.textContent = event.target.ariaValueText = `${live.smoothS.toFixed(1)} s`; } });
  const output = h("output", { for: "smoothing", "aria-live": "off" }, `${live.smoothS.toFixed(1)} s`); // the slider says it itself
  const sizes = [320, 480, 640].map((size) => h("option", { value: String(size), selected: size === live.maxSide }, `${size} px`));
  return h(
    "div",
    { class: "live-bar fields" },
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: live.view.mirror, onchange: (event) => { live.view.mirror = event.target.checked; } }), "Mirror"),
    h("label", { class: "field" }, "Smoothing", smoothing, output),
    h("label", { class: "field" }, "Detector size", h("select", { onchange: (event) => { live.maxSide = Number(event.target.value); live.settings = settings(); } }, sizes)),
    live.cameras.length > 1
      ? h("label", { class: "field" }, "Camera", h("select", { "data-keep": "camera", onchange: (event) => start(event.target.value) }, live.cameras.map((one, i) => h("option", { value: one.deviceId, selected: one.deviceId === live.cameraId }, one.label || `Camera ${i + 1}`))))
      : null,
  );
}
