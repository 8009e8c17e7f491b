// The row of all pictures: one stop of the Tab key; arrows, Home and End show the next, the first, the last.
import { h, put } from "./dom.mjs";
import { rove, stop } from "./focus.mjs";

const WORDS = { waiting: "waiting", busy: "…", failed: "failed" };

export class Strip {
  // summary(item) -> what is said of it; onShow(item).
  constructor(summary, onShow) {
    Object.assign(this, { summary, onShow, shown: null, kept: new Map() });
    this.element = h("ul", { class: "strip", "aria-label": "All pictures", hidden: true });
    rove(this.element, "button", (button) => button.click());
  }

  // Only what changed is touched: a hundred pictures are decoded once each.
  update(items, current) {
    for (const [item, { li }] of this.kept) {
      if (items.includes(item)) continue;
      li.remove();
      this.kept.delete(item);
    }
    for (const item of items) if (!this.kept.has(item)) this.kept.set(item, this.made(item));
    this.element.hidden = items.length < 2;
    for (const [item, { button, said, seen, word }] of this.kept) {
      const text = item.status === "done" ? item.frame.faces.map((face) => face.label).join(", ") || "no face" : WORDS[item.status];
      put(word, text);
      const summary = this.summary(item);
      put(said, summary);
      if (seen.title !== summary) seen.title = summary;
      button.setAttribute("aria-current", String(item === current));
    }
    const button = this.kept.get(current)?.button;
    if (!button || this.shown === current) return;
    this.shown = current;
    stop([...this.kept.values()].map((one) => one.button), button);
    centre(button, this.element);
  }

  made(item) {
    const image = h("img", { src: item.url, alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(h("span", { class: "no-picture" }, "no preview")));
    const said = h("span", { class: "unseen" });
    const word = h("span", {});
    const seen = h("div", { "aria-hidden": "true" }, image, word);
    const button = h("button", { type: "button", tabindex: "-1", onclick: () => this.onShow(item) }, said, seen);
    const li = h("li", {}, button);
    this.element.append(li);
    return { li, button, said, seen, word };
  }
}

// Within the strip only: the page itself stays where its reader is.
function centre(one, strip) {
  const [at, all] = [one.getBoundingClientRect(), strip.getBoundingClientRect()];
  strip.scrollLeft += at.left + at.width / 2 - all.left - all.width / 2;
}
