// The dialog "Settings": class prior, mode, detector size, the theme, and whether single keys do something.
import { h, icon } from "./dom.mjs";
import { canReweight } from "./recognize/rule.mjs";
import { change, labels, state } from "./state.mjs";

const PRIORS = {
  everyday: ["Everyday", "About half of the faces are neutral, as in photographs of daily life. For your own pictures."],
  balanced: ["Balanced", "Every expression is equally likely. For experiments and posed pictures."],
  own: ["My own", "Say how often each expression occurs among your faces."],
};
const MODES = {
  fast: ["One view", "Fast."],
  best: ["14 views", "The mean over copies of each face, scaled, turned and mirrored. Slower; better probabilities."],
};
const SIZES = { 640: "640 px: fast, for large faces", 1280: "1280 px: the default", 2560: "2560 px: slow, for small faces in large pictures" };
const KEYS = { on: "On: M sets a marker, digits label", off: "Off, for speech input" };
const THEMES = { system: "As the system", light: "Light", dark: "Dark" };

export function applyTheme() {
  const { theme } = state.settings;
  const dark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

export function openSettings(dialog) {
  dialog.replaceChildren(head("Settings", "settings-title", dialog), body());
  dialog.showModal();
}

export function head(title, id, dialog) {
  return h(
    "div",
    { class: "dialog-head" },
    h("h2", { id }, title),
    h("button", { type: "button", class: "icon-button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close")),
  );
}

function body() {
  const { settings, model, server } = state;
  const priors = model?.rules.map((rule) => rule.prior) ?? [];
  const most = settings.place === "server" ? server?.limits?.max_side_px ?? 1280 : model?.detector.max_side ?? 2560;
  const sizes = Object.entries(SIZES).filter(([size]) => Number(size) <= most);
  const own = h("div", { class: "own", hidden: settings.prior !== "own" });
  fillOwn(own);
  return h(
    "div",
    { class: "dialog-body" },
    model && canReweight(model)
      ? options("How common each expression is (class prior)", "prior", { ...pick(PRIORS, priors), own: PRIORS.own }, settings.prior ?? priors[0], (prior) => {
          own.hidden = prior !== "own";
          change({ prior, ownPrior: prior === "own" ? settings.ownPrior ?? even() : settings.ownPrior });
          fillOwn(own);
        }, own)
      : null,
    options("Views of each face", "mode", MODES, settings.mode, (mode) => change({ mode })),
    h("section", {}, h("label", { for: "size" }, h("b", {}, "Detector size: the picture's longer side when faces are searched for")),
      select("size", Object.fromEntries(sizes), settings.maxSide, (size) => change({ maxSide: Number(size) }))),
    h("section", {}, h("label", { for: "theme" }, h("b", {}, "Appearance")), select("theme", THEMES, settings.theme, (theme) => { change({ theme }); applyTheme(); })),
    h("section", {}, h("label", { for: "keys" }, h("b", {}, "Single keys")), select("keys", KEYS, settings.keys, (keys) => change({ keys }))),
    h("p", { class: "fine" }, "Every result and download names these settings. This browser keeps them; it keeps no pictures."),
  );
}

const pick = (all, names) => Object.fromEntries(names.map((name) => [name, all[name] ?? [name, "As the network's author named it."]]));

function options(legend, name, choices, chosen, onChange, after = null) {
  return h(
    "fieldset",
    { class: "options" },
    h("legend", {}, legend),
    Object.entries(choices).map(([value, [title, text]]) =>
      h("label", { class: "option" }, h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onChange(value), "aria-labelledby": `${name}-${value}`, "aria-describedby": `${name}-${value}-about` }), h("b", { id: `${name}-${value}` }, title), h("span", { id: `${name}-${value}-about` }, text)),
    ),
    after,
  );
}

function select(id, choices, chosen, onChange) {
  return h("select", { id, onchange: (event) => onChange(event.target.value) }, Object.entries(choices).map(([value, text]) => h("option", { value, selected: value === String(chosen) }, text)));
}

const even = () => Object.fromEntries(labels().map((label) => [label, 1 / labels().length]));

// A slider a label; what is kept sums to 1.
function fillOwn(holder) {
  const prior = state.settings.ownPrior ?? even();
  const rows = labels().map((label) => {
    const input = h("input", { type: "range", min: "1", max: "100", value: String(Math.max(1, Math.round(100 * (prior[label] ?? 0)))), "data-label": label });
    const output = h("output", { "aria-live": "off" }, `${Math.round(100 * (prior[label] ?? 0))} %`); // seven at once would be said
    return { label, input, output };
  });
  const update = () => {
    const total = rows.reduce((sum, { input }) => sum + Number(input.value), 0);
    const ownPrior = {};
    for (const { label, input, output } of rows) {
      ownPrior[label] = Number(input.value) / total;
      output.textContent = input.ariaValueText = `${Math.round(100 * ownPrior[label])} %`;
    }
    return ownPrior;
  };
  for (const { input } of rows) {
    input.addEventListener("input", update);
    input.addEventListener("change", () => change({ ownPrior: update() }));
  }
  holder.replaceChildren(...rows.map(({ label, input, output }) => h("label", {}, h("span", {}, label), input, output)));
}
