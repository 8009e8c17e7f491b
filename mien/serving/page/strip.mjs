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

  // Only what changed is touched: a folder may have thousands of pictures.
  update(items, current) {
    const present = new Set(items);
    for (const [item, { li }] of this.kept) {
      if (present.has(item)) continue;
      li.remove();
      this.kept.delete(item);
    }
    for (const item of items) {
      if (!this.kept.has(item)) this.kept.set(item, this.made(item));
      this.describe(item, this.kept.get(item));
    }
    this.element.hidden = items.length < 2;
    const button = this.kept.get(current)?.button;
    if (!button || this.shown === current) return;
    this.kept.get(this.shown)?.button.setAttribute("aria-current", "false");
    button.setAttribute("aria-current", "true");
    this.shown = current;
    stop([...this.kept.values()].map((one) => one.button), button);
    centre(button, this.element);
  }

  describe(item, parts) {
    if (parts.version === item.version) return;
    parts.version = item.version;
    put(parts.word, item.status === "done" ? item.frame.faces.map((face) => face.label).join(", ") || "no face" : WORDS[item.status]);
    const summary = this.summary(item);
    put(parts.said, summary);
    parts.seen.title = summary;
  }

  made(item) {
    const image = h("img", { src: item.url, alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(h("span", { class: "no-picture" }, "no preview")));
    const said = h("span", { class: "unseen" });
    const word = h("span", {});
    const seen = h("div", { "aria-hidden": "true" }, image, word);
    const button = h("button", { type: "button", tabindex: "-1", "aria-current": "false", onclick: () => this.onShow(item) }, said, seen);
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
