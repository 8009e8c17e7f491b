// The keyboard's way through the page: where the focus goes when what had it is replaced, and arrow keys
// in a row of many.

// New children, with the focus on the one of them that has the same `data-keep` as what had it before,
// else on the nearest heading: never nowhere.
export function replace(parent, ...children) {
  const had = parent.contains(document.activeElement) && document.activeElement !== parent ? document.activeElement : null;
  parent.replaceChildren(...children.filter(Boolean));
  if (!had) return;
  const same = had.isConnected ? had : had.dataset.keep ? parent.querySelector(`[data-keep="${CSS.escape(had.dataset.keep)}"]`) : null;
  same?.focus({ preventScroll: true });
  if (!same || document.activeElement !== same) toHeading(parent); // what cannot be used now takes no focus
}

// As `replace`, but only where `key` is another than last time: elsewhere the focus, what is open and
// what is scrolled stay as they are.
const keys = new WeakMap();
export function renew(parent, key, make) {
  const text = JSON.stringify(key);
  if (keys.get(parent) === text) return;
  keys.set(parent, text);
  replace(parent, ...[make()].flat(Infinity));
}

// Take an element away; the focus that it held goes on to the nearest heading.
export function takeAway(element) {
  const { parentElement } = element;
  const held = element.contains(document.activeElement);
  element.remove();
  if (held) toHeading(parentElement);
}

export function toHeading(from) {
  for (let place = from; place; place = place.parentElement) {
    const heading = [...place.querySelectorAll("h1:not(.unseen), h2, h3")].find((one) => one.checkVisibility());
    if (!heading) continue;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    return;
  }
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

// One stop of the Tab key for all of `holder`'s elements that match; arrows, Home and End move among them.
export function rove(holder, selector, onMove = null) {
  const all = () => [...holder.querySelectorAll(selector)].filter((one) => !one.hidden);
  holder.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const seen = all();
    const at = seen.indexOf(event.target.closest(selector));
    if (!step || at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = seen[Number.isFinite(step) ? (at + step + seen.length) % seen.length : step < 0 ? 0 : seen.length - 1];
    next.focus();
    onMove?.(next);
  });
  holder.addEventListener("focusin", (event) => stop(all(), event.target.closest(selector)));
  stop(all(), all()[0]);
}

// Which one the Tab key reaches.
export function stop(all, one) {
  if (one) for (const other of all) other.tabIndex = other === one ? 0 : -1;
}
