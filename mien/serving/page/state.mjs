// What the whole page shares: the model, settings that a browser keeps, and who wants to know of changes.

const KEY = "mien.settings/1";
const DEFAULTS = { place: null, mode: "fast", maxSide: 1280, prior: null, ownPrior: null, theme: "system", keys: "on" };

export const state = {
  model: null, // the device document
  server: null, // GET /v1/model
  settings: { ...DEFAULTS, ...kept() },
  token: "", // of a server that asks for one; never kept
};

const listeners = new Map();

export function on(event, listener) {
  listeners.set(event, [...(listeners.get(event) ?? []), listener]);
}

export function tell(event, value) {
  for (const listener of listeners.get(event) ?? []) listener(value);
}

export function change(settings) {
  Object.assign(state.settings, settings);
  try {
    localStorage.setItem(KEY, JSON.stringify(state.settings));
  } catch {
    // A browser that keeps nothing: settings hold until the page is closed.
  }
  tell("settings", state.settings);
}

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return Object.fromEntries(Object.entries(found).filter(([name]) => name in DEFAULTS));
  } catch {
    return {};
  }
}

// A label's colour as CSS: the theme's own where it has one, else the model's.
export function colourOf(label) {
  const spare = state.model?.colours?.[label] ?? "#77726b";
  return `var(--${CSS.escape(label)}, ${spare})`;
}

export const labels = () => state.model?.heads[0].labels ?? state.server?.labels ?? [];

export const patternOf = (label) => Math.max(0, labels().indexOf(label)) % 8;
