// How the heads make the answer that is shown, under a class prior: mien.bundle.answer. The rules are data
// in the device document; the default comes first.

const BALANCED = "balanced";
const LEAST = 1e-9;

// prior: null for the default, a name, or an object label -> weight.
export function ruleUnder(prior, model) {
  const { rules } = model;
  if (!prior) return rules[0];
  if (typeof prior !== "string") return reweighted(prior, model);
  const known = rules.find((rule) => rule.prior === prior);
  if (known) return known;
  const even = Object.fromEntries(model.heads[0].labels.map((label) => [label, 1]));
  return { ...reweighted(even, model), prior: BALANCED };
}

// Whether weights of one's own can be used: the shares that the answer was made for must be known.
export const canReweight = (model) => Boolean((model.rules.find((rule) => rule.prior === BALANCED) ?? model.rules[0]).class_shares);

function reweighted(weights, model) {
  const { labels } = model.heads[0];
  const base = model.rules.find((rule) => rule.prior === BALANCED) ?? model.rules[0];
  const total = labels.reduce((sum, label) => sum + (weights[label] ?? 0), 0);
  const shares = labels.map((label) => (weights[label] ?? 0) / total);
  const log_shift = shares.map((share, i) => (share && base.class_shares[i] ? Math.log(share / base.class_shares[i]) : -Infinity));
  return { ...base, prior: priorText(Object.fromEntries(labels.map((label, i) => [label, shares[i]]))), class_shares: shares, log_shift };
}

// As the library names it: happy=0.75,sad=0.25 with four digits.
export function priorText(shares) {
  return Object.entries(shares).filter(([, share]) => share > 0).map(([label, share]) => `${label}=${fourDigits(share)}`).join(",");
}

// Python's format(value, ".4g") of a number from 0 to 1.
function fourDigits(value) {
  const [digits, exponent] = value.toExponential(3).split("e");
  const bare = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  const power = Number(exponent);
  return power < -4 ? `${bare(digits)}e-${String(-power).padStart(2, "0")}` : bare(value.toFixed(3 - power));
}

// Logits / temperature -> probabilities; computed in double, kept as float32 like the library's.
export function softmax(logits, temperature = 1) {
  const scaled = logits.map((value) => value / temperature);
  const most = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => Math.fround(value / total));
}

// heads: name -> probabilities. -> those that are shown, by the labels of the first head.
export function shownAnswer(heads, model, rule, temperature) {
  const pooled = pool(heads, model, rule.weights);
  const shift = rule.log_shift ?? [];
  if (temperature === 1 && !rule.log_factors.some(Boolean) && !shift.some(Boolean)) return pooled;
  return softmax(pooled.map((p, i) => (Math.log(p + LEAST) + rule.log_factors[i]) / temperature + (shift[i] ?? 0)));
}

function pool(heads, model, weights) {
  const { labels } = model.heads[0];
  const mixed = new Array(labels.length).fill(0);
  for (const head of model.heads) {
    const share = weights[head.name] ?? 0;
    if (!share) continue;
    const known = labels.map((name) => heads[head.name][head.labels.indexOf(name)]);
    const total = Math.max(LEAST, known.reduce((a, b) => a + b, 0));
    known.forEach((value, i) => {
      mixed[i] = Math.fround(mixed[i] + Math.fround((share * value) / total));
    });
  }
  return mixed;
}
