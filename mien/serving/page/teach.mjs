// "Teach it": a person's word for a face goes to the server's --collect folder. Only there, and only where
// the server was started with it; never in device mode.
import { h } from "./dom.mjs";
import { server } from "./engine.mjs";
import { labels, state, tell } from "./state.mjs";

export const collecting = () => Boolean(state.server?.collect?.on);
export const canTeach = () => collecting() && state.settings.place === "server";

// What the server answers: {id, label, counts, command}.
export async function correct(blob, label, face) {
  const answer = await server.correct(blob, label, face);
  learned(answer);
  return answer;
}

export async function takeBack(id) {
  learned(await server.takeBack(id));
}

function learned(answer) {
  const collect = state.server.collect;
  state.server.collect = { ...collect, counts: answer?.counts ?? answer?.labels ?? collect.counts, command: answer?.command ?? collect.command };
  tell("collect", state.server.collect);
}

export const total = () => Object.values(state.server?.collect?.counts ?? {}).reduce((a, b) => a + b, 0);

// Buttons for all labels; digits choose while the focus is inside `scope`.
export function chooser(onChoose, { current = null } = {}) {
  return h(
    "div",
    { class: "choose", role: "group", "aria-label": "The right word" },
    labels().map((label, i) =>
      h(
        "button",
        { type: "button", onclick: () => onChoose(label), "aria-pressed": current === null ? null : String(label === current) },
        i < 9 ? h("kbd", { "aria-hidden": "true" }, String(i + 1)) : null,
        label,
      ),
    ),
  );
}

// The label that a key means, or null.
export function labelOfKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return null;
  const digit = Number.parseInt(event.key, 10);
  return digit >= 1 && digit <= Math.min(9, labels().length) ? labels()[digit - 1] : null;
}

// For a face's card: "Not right?", then the words, then what was kept, with a way back.
export function correction(blob, face, index, onTrouble) {
  const holder = h("div", { class: "stack" });
  const ask = () => {
    const choose = chooser(send, { current: face.label });
    holder.replaceChildren(h("p", { class: "fine" }, "Which word is right? The face's crop is kept on the server under it."), choose);
    choose.querySelector("button").focus();
  };
  const send = async (label) => {
    try {
      const { id } = await correct(blob, label, index);
      const back = h("button", { class: "button small", type: "button", onclick: () => undo(id) }, "Undo");
      holder.replaceChildren(h("p", { class: "row" }, h("span", {}, "Kept as ", h("b", {}, label), "."), back));
      back.focus();
    } catch (trouble) {
      begin();
      onTrouble(trouble);
    }
  };
  const undo = async (id) => {
    try {
      await takeBack(id);
      begin();
    } catch (trouble) {
      onTrouble(trouble);
    }
  };
  const begin = () =>
    holder.replaceChildren(h("button", { class: "button small", type: "button", onclick: ask }, "Not right? Correct it"));
  holder.addEventListener("keydown", (event) => {
    const label = labelOfKey(event);
    if (label) {
      event.preventDefault();
      send(label);
    }
  });
  begin();
  return holder;
}
