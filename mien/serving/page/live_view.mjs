// A camera's picture on a canvas: one frame in flight, and each answer drawn on the frame it belongs to.
import { fit, h, percent, save } from "./dom.mjs";
import { colourOf } from "./state.mjs";

const RATE_S = 2; // over which rates are counted

export class LiveView {
  // onFrame(bitmap, seconds) -> the frame with its faces, or null
  constructor(stream, { mirror, onFrame }) {
    Object.assign(this, { stream, mirror, onFrame, paused: false, busy: false, open: true, began: performance.now(), seen: [], done: [] });
    this.video = h("video", { muted: true, playsInline: true });
    this.video.srcObject = stream;
    this.canvas = h("canvas", { role: "img", "aria-label": "What the camera sees, with faces marked" });
    this.element = h("div", { class: "stage-inner" }, this.canvas);
    this.grabbed = document.createElement("canvas");
  }

  now() {
    return (performance.now() - this.began) / 1000;
  }

  async play() {
    await this.video.play();
    this.size();
    const each = () => {
      if (!this.open) return;
      this.next(each);
      this.seen.push(this.now());
      if (!this.busy && !this.paused) this.look();
    };
    this.next(each);
  }

  size() {
    const { videoWidth: width, videoHeight: height } = this.video;
    for (const canvas of [this.canvas, this.grabbed]) Object.assign(canvas, { width, height });
    fit(this.element, width, height);
  }

  next(callback) {
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(callback);
    else requestAnimationFrame(callback);
  }

  async look() {
    this.busy = true;
    const time = this.now();
    const { grabbed, video } = this;
    if (grabbed.width !== video.videoWidth && video.videoWidth) this.size();
    grabbed.getContext("2d").drawImage(video, 0, 0);
    if (!this.done.length) this.draw({ faces: [] }); // something to see while the first answer is on its way
    const frame = await this.onFrame(await createImageBitmap(grabbed), time);
    if (this.open && frame) {
      this.done.push(this.now());
      this.draw(frame);
    }
    this.busy = false;
  }

  rates() {
    const from = this.now() - RATE_S;
    const rate = (times) => {
      while (times.length && times[0] < from) times.shift();
      return times.length / Math.min(RATE_S, Math.max(0.1, this.now()));
    };
    return { cameraRate: rate(this.seen), analysedRate: rate(this.done) };
  }

  draw(frame) {
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d");
    context.save();
    if (this.mirror) context.setTransform(-1, 0, 0, 1, width, 0);
    context.drawImage(this.grabbed, 0, 0);
    context.restore();
    for (const face of frame.faces) this.drawFace(context, face, width);
  }

  // Lines and letters keep their size on the screen, however small the picture is shown.
  drawFace(context, face, width) {
    const scale = Math.min(3, Math.max(1, width / (this.canvas.clientWidth || width)));
    const [x0, y0, x1, y1] = face.box;
    const left = this.mirror ? width - x1 : x0;
    context.lineWidth = 5 * scale;
    context.strokeStyle = "rgb(0 0 0 / 60%)";
    context.setLineDash([]);
    context.strokeRect(left, y0, x1 - x0, y1 - y0);
    context.lineWidth = 2.5 * scale;
    context.strokeStyle = "#fff";
    context.setLineDash(face.uncertain ? [8 * scale, 6 * scale] : []);
    context.strokeRect(left, y0, x1 - x0, y1 - y0);
    context.setLineDash([]);
    const words = `${face.track + 1}  ${face.label}${face.uncertain ? "?" : ""} ${percent(face.probabilities[face.label])}`;
    context.font = `600 ${15 * scale}px system-ui, sans-serif`;
    const wide = context.measureText(words).width + 20 * scale;
    const x = Math.max(0, Math.min(left, width - wide));
    const y = y0 > 30 * scale ? y0 - 28 * scale : Math.min(y1 + 4 * scale, this.canvas.height - 24 * scale);
    context.fillStyle = "rgb(20 18 16 / 86%)";
    context.fillRect(x, y, wide, 24 * scale);
    this.canvas.style.color = colourOf(face.label);
    context.fillStyle = getComputedStyle(this.canvas).color;
    context.fillRect(x, y, 6 * scale, 24 * scale);
    context.fillStyle = "#fff";
    context.fillText(words, x + 13 * scale, y + 17 * scale);
  }

  snapshot() {
    this.canvas.toBlob((blob) => save(blob, "snapshot.png"), "image/png");
  }

  close() {
    this.open = false;
    for (const track of this.stream.getTracks()) track.stop();
    this.video.srcObject = null;
  }
}
