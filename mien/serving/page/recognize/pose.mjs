// Where a head is turned: yaw, pitch and roll in degrees from five landmarks, as mien.vision.head_pose.
// The least squares of SQPNP (Terzakis and Lourakis 2020), found by Newton's method on rotations from a few
// starts, which finds the same minimum for heads that a detector sees.

const STARTS = [[30, 0], [-30, 0], [0, 30], [0, -30]]; // yaw, pitch
const STEPS = 40;
const SMALL = 1e-7; // radians: a smaller step changes nothing that is shown
const LEAST_SPREAD = 0.05; // points nearly in one line are no face

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

const times = (a, b) => [0, 1, 2].map((i) => [0, 1, 2].map((j) => a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j]));
const transposed = (a) => a[0].map((_, j) => a.map((row) => row[j]));
const radians = (degrees) => (degrees * Math.PI) / 180;
const degrees = (angle) => (angle * 180) / Math.PI;

// points: five [x, y]; head: {mean_face, far} of the device document. -> {yaw, pitch, roll} or null
export function headPose(points, head) {
  const middle = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
  const away = points.map((point) => [point[0] - middle[0], point[1] - middle[1]]);
  const size = Math.sqrt(dot(away.flat(), away.flat()) / dot(head.mean_face.flat(), head.mean_face.flat()));
  if (!(Number.isFinite(size) && size > 0)) return null;
  const seen = away.map(([x, y]) => [x / size / head.far, y / size / head.far]);
  if (leastSpread(seen) * head.far < LEAST_SPREAD) return null;
  const { cost, depth } = problem(seen, head.mean_face);
  const roll = degrees(Math.atan2(points[1][1] - points[0][1], points[1][0] - points[0][0]));
  let best = null;
  for (const [yaw, pitch] of STARTS) {
    const found = least(cost, turned(yaw, pitch, roll));
    if (depth(found.rotation) > 0 && (!best || found.value < best.value)) best = found;
  }
  return best && angles(best.rotation);
}

// The smaller singular value of an (N, 2) matrix.
function leastSpread(rows) {
  const [xx, xy, yy] = rows.reduce(([a, b, c], [x, y]) => [a + x * x, b + x * y, c + y * y], [0, 0, 0]);
  const root = Math.sqrt(((xx - yy) / 2) ** 2 + xy * xy);
  return Math.sqrt(Math.max(0, (xx + yy) / 2 - root));
}

// r' cost r is the sum of squares of x - u z and y - v z over the points, with the best translation, for a
// rotation r written row by row. depth: of the points' middle under a rotation.
function problem(seen, face) {
  const rows = []; // a residual each: 9 numbers of the rotation, 3 of the translation
  seen.forEach(([u, v], i) => {
    const [x, y, z] = face[i];
    rows.push([[x, y, z, 0, 0, 0, -u * x, -u * y, -u * z], [1, 0, -u]]);
    rows.push([[0, 0, 0, x, y, z, -v * x, -v * y, -v * z], [0, 1, -v]]);
  });
  const normal = [0, 1, 2].map((i) => [0, 1, 2].map((j) => rows.reduce((sum, [, t]) => sum + t[i] * t[j], 0)));
  const mixed = [0, 1, 2].map((i) => Array.from({ length: 9 }, (_, j) => rows.reduce((sum, [r, t]) => sum + t[i] * r[j], 0)));
  const shift = transposed(transposed(mixed).map((column) => solved(normal, column).map((value) => -value))); // 3 x 9
  const whole = rows.map(([r, t]) => r.map((value, j) => value + t[0] * shift[0][j] + t[1] * shift[1][j] + t[2] * shift[2][j]));
  const cost = Array.from({ length: 9 }, (_, i) => Array.from({ length: 9 }, (_, j) => whole.reduce((sum, row) => sum + row[i] * row[j], 0)));
  return { cost, depth: (rotation) => dot(shift[2], rotation.flat()) };
}

const GENERATORS = [[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]];
const DOUBLE = GENERATORS.map((a) => GENERATORS.map((b) => {
  const [ab, ba] = [times(a, b), times(b, a)];
  return ab.map((row, i) => row.map((value, j) => (value + ba[i][j]) / 2));
}));

function least(cost, start) {
  const value = (rotation) => dot(rotation.flat(), cost.map((row) => dot(row, rotation.flat())));
  let rotation = start;
  let now = value(rotation);
  let damping = 1e-9;
  for (let step = 0; step < STEPS; step++) {
    const pushed = cost.map((row) => dot(row, rotation.flat()));
    const moves = GENERATORS.map((generator) => times(generator, rotation).flat());
    const pushedMoves = moves.map((move) => cost.map((row) => dot(row, move)));
    const slope = moves.map((move) => dot(move, pushed));
    const bend = moves.map((a, i) => moves.map((_, j) => dot(a, pushedMoves[j]) + dot(pushed, times(DOUBLE[i][j], rotation).flat())));
    const scale = Math.max(...bend.map((row, i) => Math.abs(row[i])));
    const turn = solved(bend.map((row, i) => row.map((entry, j) => entry + (i === j ? damping * scale : 0))), slope).map((entry) => -entry);
    if (Math.hypot(...turn) < SMALL) break;
    const next = times(rotationOf(turn), rotation);
    const then = value(next);
    if (then <= now) {
      [rotation, now, damping] = [next, then, Math.max(1e-12, damping / 10)];
    } else {
      damping = Math.max(1e-6, damping * 10);
      if (damping > 1e6) break;
    }
  }
  return { rotation, value: now };
}

// Rodrigues: the rotation about an axis by its length.
function rotationOf(turn) {
  const angle = Math.hypot(...turn);
  if (angle < 1e-14) return [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  const [x, y, z] = turn.map((value) => value / angle);
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  const k = 1 - c;
  return [
    [c + x * x * k, x * y * k - z * s, x * z * k + y * s],
    [y * x * k + z * s, c + y * y * k, y * z * k - x * s],
    [z * x * k - y * s, z * y * k + x * s, c + z * z * k],
  ];
}

// The solution of a 3 x 3 system, by Cramer's rule.
function solved(matrix, right) {
  const det = (m) => m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
  const whole = det(matrix);
  return [0, 1, 2].map((column) => det(matrix.map((row, i) => row.map((value, j) => (j === column ? right[i] : value)))) / whole);
}

function turned(yaw, pitch, roll) {
  const [[sy, cy], [sp, cp], [sr, cr]] = [yaw, pitch, roll].map((angle) => [Math.sin(radians(angle)), Math.cos(radians(angle))]);
  const aboutY = [[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]];
  const aboutX = [[1, 0, 0], [0, cp, sp], [0, -sp, cp]];
  const aboutZ = [[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]];
  return times(times(aboutY, aboutX), aboutZ);
}

function angles(rotation) {
  const ahead = rotation.map((row) => -row[2]);
  const yaw = degrees(Math.atan2(ahead[0], -ahead[2]));
  const pitch = degrees(Math.asin(Math.min(1, Math.max(-1, -ahead[1]))));
  const rest = times(transposed(turned(yaw, pitch, 0)), rotation);
  return { yaw, pitch, roll: degrees(Math.atan2(rest[1][0], rest[0][0])) };
}
