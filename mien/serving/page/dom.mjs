// Elements from data. Text only ever becomes text nodes, so that no name of a file can become markup.

const SVG = "http://www.w3.org/2000/svg";

// h("button", {class: "x", onclick: f, "aria-label": "y"}, "text", child, [more])
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, entry] of Object.entries(value)) element.style.setProperty(key, entry);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

const ICONS = {
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.2v.1",
  camera: "M3 8h4l2-2.5h6L17 8h4v11H3zM12 10a3.5 3.5 0 1 0 .1 0",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9.7h4M4 14.3h4M16 9.7h4M16 14.3h4",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
  close: "M6 6l12 12M18 6L6 18",
  pause: "M9 5v14M15 5v14",
  play: "M8 5l11 7-11 7z",
  record: "M12 6a6 6 0 1 0 .1 0",
  flag: "M6 21V4h11l-2 4 2 4H6",
  snap: "M4 9V5h4M16 5h4v4M20 15v4h-4M8 19H4v-4",
  mirror: "M12 4v16M8 8L4 16h4zM16 8l4 8h-4z",
  undo: "M9 7L4 12l5 5M4 12h10a5 5 0 0 1 5 5",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// Text that changes often: touched only when it is another, so that nobody who listens hears it again.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Tell a stage the size of what it shows, so that it is as large as fits and keeps its shape.
export function fit(inner, width, height) {
  inner.style.setProperty("--ratio", String(width / height));
  inner.style.setProperty("--wide", String(width));
}

export function line(dash, colour) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 30 10");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M1 5h28");
  path.setAttribute("stroke-dasharray", dash.join(" "));
  svg.style.setProperty("stroke", colour);
  svg.append(path);
  return svg;
}

// 0.974 -> "97 %", 0.004 -> "<1 %", 0.998 -> ">99 %", never broken over two lines; the exact value is in
// every export.
export function percent(value) {
  const rounded = Math.round(100 * value);
  if (rounded === 0 && value > 0) return "<1\u00a0%";
  return rounded === 100 && value < 1 ? ">99\u00a0%" : `${rounded}\u00a0%`;
}

// "come again" -> "Come again."
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// Said to a screen reader, politely, at most every two seconds: the newest waits, older are dropped.
const PAUSE_MS = 2000;
let saidAt = -PAUSE_MS;
let waiting = null;
export function announce(text) {
  const now = performance.now();
  clearTimeout(waiting);
  const say = () => {
    saidAt = performance.now();
    document.getElementById("live").textContent = text;
  };
  if (now - saidAt >= PAUSE_MS) say();
  else waiting = setTimeout(say, PAUSE_MS - (now - saidAt));
}
