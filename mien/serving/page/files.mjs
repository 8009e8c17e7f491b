// What a person drops or pastes, as files: folders are gone through, anything else is named, never skipped
// in silence.
import { plural } from "./dom.mjs";

const PICTURE = /\.(jpe?g|png|webp|gif|bmp|avif|tiff?|hei[cf]|p[gp]m)$/i;
const FILM = /\.(mp4|m4v|webm|mov|mkv|avi|ogv)$/i;

const isFilm = (file) => file.type.startsWith("video/") || (!file.type && FILM.test(file.name));
const isPicture = (file) => file.type.startsWith("image/") || PICTURE.test(file.name);

// Of a drop or a paste: {files, others: how many files in folders are no pictures, isText}.
// The transfer is empty once its event is over: all of it is asked for at once.
export async function filesOf(transfer) {
  const entries = [...(transfer?.items ?? [])].map((item) => (item.kind === "file" ? item.webkitGetAsEntry?.() : null));
  const plain = [...(transfer?.files ?? [])];
  const folders = entries.filter((entry) => entry?.isDirectory);
  if (!folders.length) return { files: plain, others: 0, isText: !plain.length && Boolean(transfer?.types.length) };
  const names = new Set(folders.map((folder) => folder.name));
  const inside = (await Promise.all(folders.map(within))).flat().sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const files = [...plain.filter((file) => !names.has(file.name)), ...inside.filter((file) => isPicture(file) || isFilm(file))];
  return { files, others: inside.filter((file) => !isPicture(file) && !isFilm(file)).length, isText: false };
}

async function within(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    entries.push(...some);
  }
  const seen = entries.filter((entry) => !entry.name.startsWith("."));
  return (await Promise.all(seen.map((entry) => (entry.isDirectory ? within(entry) : new Promise((resolve, reject) => entry.file((file) => resolve([file]), reject)))))).flat();
}

// {stills, films, words: what is left out, or ""}; one video at a time.
export function sorted({ files, others = 0 }, takesFilms = true) {
  const films = files.filter(isFilm);
  const stills = files.filter((file) => !isFilm(file));
  const left = [];
  if (takesFilms && films.length && stills.length) left.push(plural(stills.length, "picture"));
  if (films.length > (takesFilms ? 1 : 0)) left.push(plural(films.length - (takesFilms ? 1 : 0), takesFilms ? "further video" : "video"));
  if (others) left.push(plural(others, "file that is no picture", "files that are no pictures"));
  return { stills, films, words: left.join(", ") };
}
