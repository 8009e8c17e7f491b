// What a person recorded of the camera or of a video: frames and markers, and their downloads.
import { h, icon, plural, save } from "./dom.mjs";
import { markersTsv, toCsv, toJson, toSettings } from "./export.mjs";
import { state } from "./state.mjs";

const MOST_FRAMES = 100_000;

export class Session {
  constructor(name) {
    Object.assign(this, { name, frames: [], markers: [], on: false, isSaved: true });
  }

  // settings: what the recogniser is asked while it records
  start(settings) {
    Object.assign(this, { frames: [], markers: [], on: true, isSaved: false, settings: { ...settings } });
  }

  stop() {
    this.on = false;
    if (!this.frames.length) this.isSaved = true;
  }

  // False once there is no more room: then it is said, not silently dropped.
  add(frame) {
    if (!this.on) return true;
    if (this.frames.length >= MOST_FRAMES) return false;
    this.frames.push({ ...frame, source: this.name });
    return true;
  }

  get seconds() {
    return this.frames.length ? this.frames.at(-1).time_s - this.frames[0].time_s : 0;
  }

  downloads() {
    const put = (text, type, end) => {
      save(new Blob([text], { type }), `${this.name.replace(/\.[^.]+$/, "")}${end}`);
      this.isSaved = true;
    };
    const { model } = state;
    const buttons = [
      ["CSV", () => put(toCsv(this.frames, model), "text/csv", ".csv")],
      ["JSON", () => put(toJson(this.frames, model), "application/json", ".json")],
      ["Settings", () => put(toSettings(model, this.settings, this.frames[0].prior), "application/json", ".settings.json")],
      ...(this.markers.length ? [["Markers", () => put(markersTsv(this.markers), "text/tab-separated-values", "_events.tsv")]] : []),
    ].map(([name, act]) => h("button", { type: "button", class: "button small", onclick: act, disabled: !model || !this.frames.length }, icon("download"), name));
    return [h("span", { class: "fine" }, "Download"), ...buttons];
  }

  summary() {
    return `${plural(this.frames.length, "frame")}, ${this.seconds.toFixed(1)} s, ${plural(this.markers.length, "marker")}`;
  }
}
