/* Prune it yourself. */
function view(model, root) {
  const { sprite, labels, groups, removed, lines } = model.get("given");
  const names = Object.assign({}, ...Object.values(groups));
  const method = selection("Keep", groups, (arm) => choose(model, "method", arm));
  const share = slider("Left out", { min: 0, max: removed.length - 1, value: removed.indexOf(model.get("choice").removed),
    told: (i) => `${removed[i]}%`, turned: (i) => choose(model, "removed", removed[i]) });
  const tiles = labels.map((_, i) => tile(sprite, i, 20));
  const grid = element("div", { class: "grid still", role: "img" }, ...tiles);
  const plot = element("div", { class: "plot" });
  root.append(method.box, share.box, element("div", { class: "columns" },
    element("div", { class: "column" }, heading("Faded: left out"), grid),
    element("div", { class: "column" }, heading("Test accuracy"), plot)));

  const points = Object.values(lines).flat();
  const low = Math.min(...points.map((p) => p.low ?? p.mean)), high = Math.max(...points.map((p) => p.high ?? p.mean));
  const [width, height, left, bottom] = [300, 220, 44, 34];
  const x = (percentage) => left + 6 + percentage / 100 * (width - left - 16);
  const y = (value) => 20 + (high - value) / Math.max(high - low, 1e-9) * (height - bottom - 26);

  function chart(state) {
    const own = lines[state.method], at = removed.indexOf(state.removed), now = own[at];
    const ticks = { x: [0, 30, 60, 90].map((value) => [x(value), String(value)]), y: [low, (low + high) / 2, high].map((value) => [y(value), percent(value, 0)]) };
    const line = (values, kind) => drawn("path", { class: `line ${kind}`, d: path(values.map((p, i) => [x(removed[i]), y(p.mean)])) });
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Accuracy of ${names[state.method]}: ${own.map((p, i) => `${removed[i]}% left out ${percent(p.mean)}`).join(", ")}` },
    ...frame({ width, height, left, bottom, x: "samples left out, %", y: "", ticks }),
    ...Object.entries(lines).filter(([arm]) => arm !== state.method).map(([, values]) => line(values, "other")));
    own.forEach((p, i) => {
      if (p.low !== null) svg.append(drawn("path", { class: "interval", d: `M${x(removed[i])} ${y(p.low)} V${y(p.high)}` }));
    });
    svg.append(line(own, "own"), drawn("circle", { class: "mark", cx: x(state.removed), cy: y(now.mean), r: 6 }));
    return svg;
  }

  return (state) => {
    method.select.value = state.method;
    share.input.value = removed.indexOf(state.removed);
    share.tell();
    tiles.forEach((at, i) => at.classList.toggle("gone", state.kept[i] === "0"));
    const gone = [...state.kept].filter((bit) => bit === "0").length;
    grid.setAttribute("aria-label", `${tiles.length} samples, sorted by class; ${gone} of them are left out`);
    plot.replaceChildren(chart(state), element("p", { class: "key" }, `thick: ${names[state.method]}, with intervals; thin: the other methods`));
  };
}
