/* Through training. */
function view(model, root) {
  const { epochs, classes, counts, relations } = model.get("given");
  const epoch = slider("Finished epochs", { min: 0, max: epochs.length - 1, value: epochs.indexOf(model.get("choice").epoch),
    told: (i) => `${epochs[i]} of ${epochs.at(-1)}`, turned: (i) => choose(model, "epoch", epochs[i]) });
  const image = element("img", { class: "matrix" }), spectrum = element("div", { class: "plot" });
  const shares = element("div", { class: "plot" }), facts = element("p", { class: "key" });
  const order = classes.filter((_, c) => counts[c]).join(", ");
  root.append(epoch.box, element("div", { class: "columns" },
    element("div", { class: "column" }, heading("Cosines of all pairs, sorted by class"), image,
      element("p", { class: "key" }, `red 1, white 0, blue −1; classes from the top left: ${order}`)),
    element("div", { class: "column" }, heading("Largest eigenvalues of the kernel, shares of the trace"), spectrum, facts,
      heading("Shares of the relations"), shares)));

  function bars(values) {
    const [width, height, left, bottom] = [300, 150, 40, 32], floor = 1e-4;
    const y = (value) => 20 + Math.log(Math.max(value, floor)) / Math.log(floor) * (height - bottom - 20);
    const step = (width - left - 12) / values.length, ground = height - bottom;
    const ticks = { x: [[left + step / 2, "1"], [left + (values.length - 0.5) * step, String(values.length)]],
      y: [1, 0.1, 0.01, 0.001].map((value) => [y(value), `${100 * value}%`]) };
    return drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Shares of the trace, logarithmic; the three largest: ${values.slice(0, 3).map((v) => percent(v)).join(", ")}` },
    ...frame({ width, height, left, bottom, x: "eigenvalue, the largest first", y: "", ticks }),
    ...values.map((value, i) => drawn("rect", { class: "bar", x: left + i * step + 1, width: step - 2, y: y(value), height: Math.max(0, ground - y(value)) })));
  }

  function stacked(groups) {
    const width = 300, row = 44, tall = Object.keys(groups).length * row;
    const told = Object.entries(groups).map(([name, values]) => `${name}: ${values.map((v, r) => `${relations[r]} ${percent(v)}`).join(", ")}`);
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${tall}`, role: "img", "aria-label": told.join("; ") });
    Object.entries(groups).forEach(([name, values], i) => {
      let x = 0;
      svg.append(drawn("text", { x: 0, y: i * row + 14 }, `pairs of ${name}`.replace("pairs of all", "all pairs")));
      values.forEach((value, r) => {
        svg.append(drawn("rect", { class: `relation-${r}`, x, y: i * row + 19, width: value * width, height: 18 }));
        x += value * width;
      });
    });
    const table = element("table", {}, element("thead", {}, element("tr", {}, element("td"), ...Object.keys(groups).map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...relations.map((relation, r) => element("tr", {}, element("th", { scope: "row" }, element("span", { class: `swatch relation-${r}` }), relation),
        ...Object.values(groups).map((values) => element("td", {}, percent(values[r], 2)))))));
    return [svg, table];
  }

  return (state) => {
    epoch.input.value = epochs.indexOf(state.epoch);
    epoch.tell();
    image.src = state.matrix;
    const mean = (name) => state.mean[name] === null ? "undefined" : state.mean[name].toFixed(2);
    image.alt = `Cosines after ${state.epoch} epochs: mean ${mean("one label")} inside classes, ${mean("two labels")} between them`;
    spectrum.replaceChildren(bars(state.spectrum));
    facts.textContent = `effective rank ${state.rank}; accuracy: training ${percent(state.train)}, test ${percent(state.test)}`;
    shares.replaceChildren(...stacked(state.shares));
  };
}
