/* Two vectors. */
function view(model, root) {
  const { ranges } = model.get("given"), first = model.get("choice");
  const control = (words, field, more) => slider(words, { min: ranges[field]?.[0], max: ranges[field]?.[1], value: first[field],
    turned: (value) => choose(model, field, value), ...more });
  const labelled = (words, field) => control(words, field, { min: 0, max: first.classes - 1, told: (value) => `class ${value}` });
  const one = labelled("Label of the first", "one"), other = labelled("Label of the second", "other");
  const classes = control("Classes K", "classes", { turned: (k) => {
    const choice = model.get("choice");
    for (const label of [one, other]) { label.input.max = k - 1; label.tell(); }
    model.set("choice", { ...choice, classes: k, one: Math.min(choice.one, k - 1), other: Math.min(choice.other, k - 1) });
    model.save_changes();
  } });
  const rest = [
    control("Cosine of the inputs", "alike", { step: 0.05, told: (value) => value.toFixed(2) }),
    control("Learned so far", "learned", { step: 0.05, told: (value) => percent(value, 0) }),
    control("Size of the step", "step", { step: 0.1, told: (value) => value.toFixed(1) })];
  const signs = element("div", { class: "plot" }), angle = element("div", { class: "plot" }), effect = element("div", { class: "plot" });
  root.append(element("div", { class: "controls" }, ...[classes, one, other, ...rest].map(({ box }) => box)),
    element("div", { class: "columns" },
      element("div", { class: "column" }, heading("Signs: + at the label, − elsewhere"), signs, heading("Both updates"), angle),
      element("div", { class: "column" }, heading("Probabilities before (grey) and after one step on the first"), effect)));

  function rows({ signs: both, factor }) {
    const k = both[0].length, side = Math.min(22, 280 / k), differ = both[0].map((sign, c) => sign !== both[1][c]);
    const svg = drawn("svg", { viewBox: "0 0 300 92", role: "img", "aria-label": `Both sign vectors of ${k} classes; they differ in ${differ.filter(Boolean).length} entries` });
    both.forEach((row, r) => row.forEach((sign, c) => svg.append(
      drawn("rect", { class: `sign ${sign > 0 ? "plus" : "minus"}${differ[c] ? " differ" : ""}`, x: 10 + c * side, y: 6 + r * (side + 6), width: side - 2, height: side - 2 }),
      drawn("text", { x: 10 + (c + 0.5) * side - 1, y: 6 + r * (side + 6) + side / 2 + 3, "text-anchor": "middle" }, sign > 0 ? "+" : "−"))));
    const law = differ.some(Boolean) ? `1 − 4/${k}` : "1, as the labels are the same";
    svg.append(drawn("text", { x: 10, y: 82 }, `inner product over K: ${factor.toFixed(2)} = ${law}`));
    return svg;
  }

  function arrows({ angle: degrees, cosine }) {
    const at = (turn) => [150 + 105 * Math.cos(turn), 125 - 105 * Math.sin(turn)], turn = degrees * Math.PI / 180;
    const from = (Math.PI - turn) / 2; /* symmetric about the vertical */
    const arrow = (to, kind) => { const [x, y] = at(to), wing = (by) => [x - 12 * Math.cos(to + by), y + 12 * Math.sin(to + by)];
      return drawn("path", { class: `arrow ${kind}`, d: `M150 125 L${x} ${y} M${wing(0.4)} L${x} ${y} L${wing(-0.4)}` }); };
    return drawn("svg", { viewBox: "0 0 300 150", role: "img", "aria-label": `Two arrows at ${degrees.toFixed(0)} degrees` },
      arrow(from, "first"), arrow(from + turn, "second"),
      drawn("text", { x: 150, y: 146, "text-anchor": "middle" }, `${degrees.toFixed(0)}°, cosine ${cosine.toFixed(2)}`));
  }

  function steps({ before, after }) {
    const k = before[0].length, svg = drawn("svg", { viewBox: "0 0 300 260", role: "img", "aria-label": "Bars of both predictions, class by class, before and after the step" });
    const wide = 280 / k;
    before.forEach((was, r) => {
      const ground = 110 + r * 130, y = (q) => q * 88;
      svg.append(drawn("text", { x: 10, y: ground - 96 }, ["first sample", "second sample"][r]), drawn("path", { class: "axis", d: `M10 ${ground} H290` }));
      was.forEach((q, c) => svg.append(
        drawn("rect", { class: "was", x: 10 + c * wide, y: ground - y(q), width: wide * 0.45, height: y(q) }),
        drawn("rect", { class: r ? "bar second" : "bar", x: 10 + (c + 0.45) * wide, y: ground - y(after[r][c]), width: wide * 0.45, height: y(after[r][c]) }),
        ...(k <= 12 || c % 5 === 0 ? [drawn("text", { x: 10 + (c + 0.45) * wide, y: ground + 13, "text-anchor": "middle" }, String(c))] : [])));
    });
    return svg;
  }

  return (state) => {
    signs.replaceChildren(rows(state));
    angle.replaceChildren(arrows(state));
    effect.replaceChildren(steps(state));
  };
}

/* The answer without a kernel: what vectors.py computes, by the same formulas. */
view.answer = ({ classes: k, one, other, alike, learned, step }) => {
  const labels = [one, other], all = [...Array(k).keys()];
  const signs = labels.map((label) => all.map((c) => (c === label ? 1 : -1)));
  const factor = signs[0].reduce((sum, sign, c) => sum + sign * signs[1][c], 0) / k;
  const p = 1 / k + learned * (1 - 1 / k), lead = Math.log(p * (k - 1) / (1 - p));
  const softmax = (z) => { const e = z.map((v) => Math.exp(v - Math.max(...z))), sum = e.reduce((a, b) => a + b); return e.map((v) => v / sum); };
  const logits = labels.map((label) => all.map((c) => (c === label ? lead : 0)));
  const before = logits.map(softmax);
  const push = before[0].map((q, c) => (c === one ? 1 : 0) - q);
  const after = logits.map((z, r) => softmax(z.map((v, c) => v + step * (r ? alike : 1) * push[c])));
  const cosine = alike * factor, angle = Math.acos(cosine) * 180 / Math.PI;
  const own = (when, r) => percent(when[r][labels[r]]);
  const said = `The signs give the factor ${factor.toFixed(2)}, the updates stand at ${angle.toFixed(0)}°. One step on the first sample ` +
    `takes its label from ${own(before, 0)} to ${own(after, 0)}, and that of the second from ${own(before, 1)} to ${own(after, 1)}.`;
  return { signs, factor, cosine, angle, before, after, said };
};
