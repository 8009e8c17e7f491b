// Views of a crop for the mode `best`: scaled, turned and mirrored a little (mien.bundle.tta).

const cache = new Map();

// Functions (crop, Float32Array to fill), one a view; `kinds` are [zoom, degrees clockwise].
export function viewsOf(side, kinds) {
  const key = `${side}:${JSON.stringify(kinds)}`;
  if (!cache.has(key)) {
    cache.set(key, [1, -1].flatMap((mirrored) => kinds.map(([zoom, degrees]) => view(side, mirrored, zoom, degrees))));
  }
  return cache.get(key);
}

function view(side, mirrored, zoom, degrees) {
  const middle = (side - 1) / 2;
  const angle = (degrees * Math.PI) / 180;
  const cos = Math.cos(angle) / zoom;
  const sin = Math.sin(angle) / zoom;
  const clip = (value) => Math.min(side - 1, Math.max(0, value));
  const places = new Int32Array(side * side);
  const weights = new Float32Array(side * side * 4);
  for (let row = 0, at = 0; row < side; row++) {
    for (let column = 0; column < side; column++, at++) {
      const x = column - middle;
      const y = row - middle;
      const sx = clip(mirrored * (cos * x + sin * y) + middle);
      const sy = clip(cos * y - sin * x + middle);
      const left = Math.min(Math.trunc(sx), side - 2);
      const top = Math.min(Math.trunc(sy), side - 2);
      const across = sx - left;
      const along = sy - top;
      places[at] = top * side + left;
      weights.set([(1 - along) * (1 - across), (1 - along) * across, along * (1 - across), along * across], at * 4);
    }
  }
  return (crop, out) => {
    for (let at = 0, w = 0; at < places.length; at++, w += 4) {
      const p = places[at];
      out[at] = crop[p] * weights[w] + crop[p + 1] * weights[w + 1] + crop[p + side] * weights[w + 2] + crop[p + side + 1] * weights[w + 3];
    }
  };
}
