// A person before the camera: like a face's card, but its bars move in place, in the network's own order.
import { h, percent, put } from "./dom.mjs";
import { bars, pause, thumbnail } from "./face_card.mjs";
import { unlike } from "./people.mjs";

export class LiveCard {
  constructor(track) {
    this.track = track;
    this.word = h("span", { class: "word" });
    this.sub = h("span", { class: "sub" });
    this.chance = h("span", { class: "chance" });
    this.thumb = h("span", { class: "no-thumb" });
    this.bars = h("div", {});
    this.element = h(
      "li",
      { class: "card face", "data-track": String(track) },
      h("div", { class: "face-head still" }, this.thumb, h("span", {}, this.word, pause(), this.sub), pause(), this.chance),
      h("div", { class: "face-body" }, this.bars),
    );
  }

  update(face, crop, rest) {
    put(this.word, face.label);
    put(this.chance, percent(face.probabilities[face.label]));
    const parts = [`Person ${this.track + 1}`];
    if (face.uncertain) parts.push(`uncertain: ${face.reason}`);
    if (rest) parts.push(`${percent(unlike(face.probabilities, rest))} unlike the neutral face`);
    put(this.sub, parts.join(" · "));
    if (crop) {
      const next = thumbnail(crop);
      this.thumb.replaceWith(next);
      this.thumb = next;
    }
    this.fill(face.probabilities, rest);
  }

  fill(probabilities, rest) {
    const hasRest = Boolean(rest);
    if (!this.rows || this.hasRest !== hasRest) {
      const list = bars(probabilities, { rest, sorted: false });
      this.bars.replaceChildren(list);
      this.rows = [...list.children];
      this.hasRest = hasRest;
    }
    const most = Math.max(...Object.values(probabilities));
    Object.entries(probabilities).forEach(([label, p], i) => {
      const row = this.rows[i];
      row.classList.toggle("first", p === most);
      row.querySelector(".bar-fill").style.width = `${100 * p}%`;
      put(row.querySelector(".bar-number"), percent(p));
      if (!rest) return;
      const points = Math.round(100 * (p - rest[label]));
      row.querySelector(".bar-rest").style.left = `${100 * rest[label]}%`;
      put(row.querySelector(".bar-change"), points > 0 ? `+${points}` : points < 0 ? `−${-points}` : "±0");
    });
  }
}
