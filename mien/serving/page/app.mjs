// The page: what it knows of its server, tabs, where pictures are analysed, dropping and pasting.
import { openAbout } from "./about.mjs";
import { announce, h, plural } from "./dom.mjs";
import { device, engine, request, server, useModel } from "./engine.mjs";
import * as camera from "./camera.mjs";
import { filesOf, sorted } from "./files.mjs";
import { rove, stop, takeAway, toHeading } from "./focus.mjs";
import * as label from "./label.mjs";
import * as pictures from "./pictures.mjs";
import { applyTheme, openSettings } from "./settings.mjs";
import { change, on, state, tell } from "./state.mjs";
import { collecting, total } from "./teach.mjs";
import * as video from "./video.mjs";

const PANELS = { pictures, camera, video, label };
const $ = (id) => document.getElementById(id);
let tab = "pictures";

async function begin() {
  applyTheme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
  for (const [name, panel] of Object.entries(PANELS)) panel.mount($(name));
  listen();
  show(location.hash.slice(2));
  await know();
}

async function know() {
  await Promise.all([load("v1/model", (found) => { state.server = found; }), load("v1/model/device", (found) => { state.model = found; })]);
  if (state.model) await useModel(state.model);
  tell("model", state.model);
  known();
  if ("serviceWorker" in navigator && state.model && !state.model.missing) {
    navigator.serviceWorker.register("sw.js").catch(() => {});
  }
}

async function load(path, use) {
  try {
    const answer = await request(path);
    if (answer.ok) use(await answer.json());
    else if (answer.status === 401) askToken();
  } catch {
    // Said by `request` already.
  }
}

function askToken() {
  if ($("banner-token")) return; // both requests were refused
  const input = h("input", { class: "text-input", id: "token", type: "password", autocomplete: "off", placeholder: "Token", "aria-label": "Token of this server" });
  const give = () => { state.token = input.value.trim(); takeAway($("banner-token")); know(); };
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") give(); });
  banner("token", "warn", state.token ? "This is not the token of this server." : "This server asks for a token.", "The page forgets it when you close it.", ["Use it", give]);
  $("banner-token").querySelector("p").after(input);
  $("banner-token").lastChild.remove(); // without a token nothing works: no closing
}

// What can be offered, now that the server and its model are known.
function known() {
  if (!state.model) return; // said already: the server does not answer, or asks for a token
  const { missing } = state.model;
  const [onDevice, onServer] = ["device", "server"].map((value) => document.querySelector(`[name="place"][value="${value}"]`));
  onDevice.disabled = Boolean(missing);
  onDevice.title = missing;
  if (missing) {
    change({ place: "server" });
    banner("missing", "", "Analysing on this device is not in this build.", missing);
  } else if (!state.settings.place) {
    change({ place: "device" });
  }
  (state.settings.place === "server" ? onServer : onDevice).checked = true;
  $("tab-label").hidden = !collecting();
  if (location.hash === "#/label") show("label");
  $("network").textContent = `mien ${state.model.mien} · network ${state.model.digest.slice(0, 8)}`;
  collected();
  place();
}

// The switch changed, or the page begins: get ready, and say how it stands.
async function place() {
  const words = $("place-state");
  if (state.settings.place === "server") {
    words.textContent = collecting() ? "Only labelled crops are stored." : "Pictures are sent but not stored.";
    return;
  }
  words.textContent = "Loading the networks…";
  try {
    await device.start();
    if (state.settings.place === "device") words.textContent = "Ready. No picture leaves this device.";
  } catch (trouble) {
    words.textContent = "";
    banner("device", "warn", "This browser cannot analyse on this device.", trouble.message, ["Use the server", () => choosePlace("server")]);
  }
}

function choosePlace(value) {
  document.querySelector(`[name="place"][value="${value}"]`).checked = true;
  change({ place: value });
  close("device");
  if (value === "device") close("offline");
  place();
  announce(value === "server" ? "Pictures are now sent to the server." : "Pictures now stay on this device.");
}

function banner(id, kind, title, text, action = null) {
  $(`banner-${id}`)?.remove();
  $("banners").append(
    h("div", { class: `notice ${kind}`, id: `banner-${id}`, role: "status" }, h("p", {}, h("b", {}, title), " ", text),
      action ? h("button", { class: "button small", type: "button", onclick: action[1] }, action[0]) : null,
      h("button", { class: "button small", type: "button", onclick: () => close(id) }, "Close")),
  );
}

function close(id) {
  const found = $(`banner-${id}`);
  if (found) takeAway(found);
}

function collected() {
  $("collecting").textContent = collecting()
    ? `Corrections are kept: ${plural(total(), "face")} so far.${total() && state.server.collect.command ? ` To train on them: ${state.server.collect.command}` : ""}`
    : "";
}

function show(name) {
  const next = name in PANELS && !$(`tab-${name}`).hidden ? name : "pictures";
  const held = next !== tab && $(tab).contains(document.activeElement);
  if (next !== tab) PANELS[tab].leave?.();
  tab = next;
  for (const one of Object.keys(PANELS)) {
    $(one).hidden = one !== tab;
    $(`tab-${one}`).setAttribute("aria-selected", String(one === tab));
  }
  stop([...document.querySelectorAll('[role="tab"]')], $(`tab-${tab}`));
  PANELS[tab].enter?.();
  if (held) toHeading($(tab));
}

function listen() {
  addEventListener("hashchange", () => show(location.hash.slice(2)));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address keeps its tab
    $("main").focus();
  });
  for (const one of document.querySelectorAll('[role="tab"]')) one.addEventListener("click", () => { location.hash = `#/${one.dataset.tab}`; });
  rove(document.querySelector('[role="tablist"]'), '[role="tab"]', (one) => one.click());
  for (const input of document.querySelectorAll('[name="place"]')) input.addEventListener("change", () => choosePlace(input.value));
  $("open-settings").addEventListener("click", () => openSettings($("settings")));
  $("open-about").addEventListener("click", () => openAbout($("about")));
  $("open-limits").addEventListener("click", () => openAbout($("about"), "about-limits"));
  on("sent", (count) => {
    $("sent-count").textContent = String(count);
    $("sent-word").textContent = count === 1 ? "picture sent" : "pictures sent";
    $("sent").classList.toggle("some", count > 0);
  });
  on("collect", collected);
  on("choose-place", choosePlace);
  on("offline", (isOffline) => {
    if (isOffline) offline();
    else close("offline");
  });
  dropping();
}

function offline() {
  const isHere = state.model && !state.model.missing;
  banner("offline", "warn", "The server does not answer.", isHere ? "Everything still works on this device." : "Check that it still runs.", isHere && engine() === server ? ["Use this device", () => choosePlace("device")] : null);
}

// Pictures, a video or folders dropped anywhere, or pictures pasted. A link dropped would lead the browser
// away from the page, with all that is on it.
function dropping() {
  let depth = 0;
  let isOurs = false; // something of this page is dragged about
  const isFree = (event) => !event.target.matches?.("input, textarea");
  const over = (on) => { $("drop").hidden = !on; };
  addEventListener("dragstart", () => { isOurs = true; });
  addEventListener("dragend", () => { isOurs = false; });
  addEventListener("dragenter", (event) => {
    depth += 1;
    if (!isOurs && [...(event.dataTransfer?.types ?? [])].includes("Files")) over(true);
  });
  addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) over(false); });
  addEventListener("dragover", (event) => { if (isFree(event)) event.preventDefault(); });
  addEventListener("drop", async (event) => {
    depth = 0;
    over(false);
    if (!isFree(event)) return;
    event.preventDefault();
    if (!isOurs) take(await filesOf(event.dataTransfer));
    isOurs = false;
  });
  addEventListener("paste", async (event) => { if (isFree(event)) take(await filesOf(event.clipboardData)); });
}

function take(found) {
  close("taken");
  if (found.isText) {
    banner("taken", "", "That is text or a link, not a picture.", "Copy the picture itself, or save it and drop the file.");
    return;
  }
  const { stills, films, words } = sorted(found);
  if (films.length) {
    location.hash = "#/video";
    video.open(films[0]);
  } else if (stills.length && tab === "label") {
    label.add(stills);
  } else if (stills.length) {
    location.hash = "#/pictures";
    pictures.add(stills.map((file) => ({ blob: file, name: file.name || "pasted picture" })));
  }
  if (words) banner("taken", "", "Not everything was taken.", `Left out: ${words}.`);
  else if (!stills.length && !films.length) banner("taken", "", "Nothing to look at.", "The folder is empty.");
}

begin();
