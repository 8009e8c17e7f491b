// The dialog "What this is": intended use, limits, the model card, where pictures go.
import { h } from "./dom.mjs";
import { head } from "./settings.mjs";
import { state } from "./state.mjs";

export function openAbout(dialog, to = null) {
  dialog.replaceChildren(head("What this is, and what it is not", "about-title", dialog), body());
  dialog.showModal();
  const heading = to && dialog.querySelector(`#${to} h3`);
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus();
  heading.scrollIntoView({ block: "start" });
}

const list = (entries) => h("ul", {}, entries.map((entry) => h("li", {}, entry)));

function body() {
  return h(
    "div",
    { class: "dialog-body" },
    h("section", {}, h("p", {}, "mien says what the expression of a face looks like to other people: a probability for each expression, and whether the answer should be relied on. It does not say what somebody feels. Faces do not tell that (Barrett and others, 2019).")),
    h("section", { id: "about-use" }, h("h3", {}, "Intended use"), list(["Research on perceived expression, with people who agreed to it.", "Teaching how such networks work, and where they fail.", "Sorting your own pictures; prototypes whose users know of it."])),
    h("section", { id: "about-not" }, h("h3", {}, "Not for"), list([
      "Work, hiring, schools or universities: the EU's AI Act, Article 5(1)(f), forbids inferring emotions there, except for medical or safety reasons.",
      "Police, borders, credit, insurance, diagnosis or lie detection.",
      "Watching people who do not know of it. In the EU they must be told, Article 50(3).",
    ])),
    h("section", { id: "about-limits" }, h("h3", {}, "Limits"), list([
      "Heads turned far aside, covered faces and faces below 24 pixels are often wrong; they are marked uncertain.",
      "Fear and disgust are rare in the training pictures and are often missed.",
      "Drawings, statues and animals get an answer too: the network cannot answer “not a face”.",
      "It has not been shown to work equally well for people of all ages, sexes and origins.",
      "Probabilities hold for the class prior in the settings. Another mix of faces needs another prior.",
    ])),
    card(),
    h("section", { id: "about-privacy" }, h("h3", {}, "Where pictures go"), list([
      "On this device: nowhere. The networks run in this page, even with the server off.",
      "On the server: each picture is sent to it, analysed in memory and forgotten. It writes no picture, no name and no answer to disk or log.",
      state.server?.collect?.on
        ? "This server collects corrections: only when you correct a face, that face's crop and your label are kept."
        : "This server keeps no corrections.",
    ])),
  );
}

const share = (value) => `${(100 * value).toFixed(1)}\u00a0%`;

const SETS = { photographs: "press and film photographs", faces: "FER2013's PublicTest" };

// How often the shown answer is right, and the certain ones among them, on each set it was measured on.
function measured(sets) {
  return Object.entries(sets)
    .map(([name, { n, accuracy, certain, certain_right: right }]) =>
      `${share(accuracy)} right on ${SETS[name] ?? name} (n = ${n.toLocaleString("en")}); of the ${share(certain)} that are certain, ${share(right)}`)
    .join(". ");
}

function card() {
  const { model, server } = state;
  const network = model ?? server;
  if (!network) return null;
  const facts = [
    ["Network", `${network.name}, ${network.digest.slice(0, 16)}`],
    ["Expressions", (model?.heads[0].labels ?? server.labels).join(", ")],
    ["Faces found by", model?.detector.name ?? server.detector],
    ["Version", `mien ${model?.mien ?? server.version}`],
  ];
  if (model?.licence) facts.push(["Licence", model.licence]);
  if (model?.training?.parameters) facts.splice(1, 0, ["Parameters", model.training.parameters.toLocaleString("en")]);
  for (const [split, { n, accuracy }] of Object.entries(model?.metrics ?? {})) {
    if (!accuracy) continue;
    facts.push([`Right on ${split}`, `${share(accuracy.value)} of ${n.toLocaleString("en")} faces (95 % interval ${share(accuracy.low)} to ${share(accuracy.high)})`]);
  }
  for (const [prior, { fast }] of Object.entries(model?.measured ?? {})) facts.push([`Prior ${prior}`, measured(fast)]);
  return h("section", { id: "about-card" }, h("h3", {}, "Model card"), h("dl", { class: "facts" }, facts.map(([key, value]) => [h("dt", {}, key), h("dd", {}, value)])));
}
