/* A sample and its company. */
function view(model, root) {
  const { sprite, labels, classes, groups, epochs } = model.get("given");
  const words = (i) => `sample ${i}, label ${labels[i]}`;
  const grid = element("div", { class: "grid", role: "radiogroup", "aria-label": "Samples", keydown: walk });
  const tiles = labels.map((_, i) =>
    element("button", { type: "button", class: "pick", role: "radio", "aria-checked": "false", tabindex: -1,
      "aria-label": words(i), click: () => go(i, false) }, tile(sprite, i, 28)));
  grid.append(...tiles);
  const all = { "": { "": "all classes", ...Object.fromEntries(classes.map((name) => [`=${name}`, name])) } };
  const filter = selection("Show", all, (name) => {
    tiles.forEach((at, i) => { at.hidden = name !== "" && `=${labels[i]}` !== name; });
    if (tiles[model.get("choice").sample].hidden) go(tiles.findIndex((at) => !at.hidden), false);
  });
  for (const option of [...filter.select.options].slice(1)) option.disabled = !labels.includes(option.value.slice(1));
  const chosen = element("div", { class: "chosen" });
  const rows = Object.fromEntries(Object.keys(groups).map((name) => [name, element("div", { class: "mates" })]));
  const curve = element("div", { class: "plot" }), cluster = element("div", { class: "mates" });
  const near = element("div", { class: "column" }, chosen,
    ...Object.entries(groups).flatMap(([name, title]) => [heading(title), rows[name]]));
  const about = element("div", { class: "column" }, heading("Difficulty: its loss in every epoch"), curve,
    heading("Its cluster"), cluster);
  root.append(filter.box, grid, element("div", { class: "columns" }, near, about));

  function go(i, focus) {
    if (i === model.get("choice").sample && model.get("state").sample === i) return;
    tiles[i].hidden = false;
    choose(model, "sample", i);
    if (focus) tiles[i].focus();
  }

  /* Arrows walk over the samples that are shown, as in any group of radio buttons. */
  function walk(event) {
    const seen = tiles.map((_, i) => i).filter((i) => !tiles[i].hidden);
    const top = tiles[seen[0]].offsetTop;
    const columns = Math.max(1, seen.filter((i) => tiles[i].offsetTop === top).length);
    const at = seen.indexOf(model.get("choice").sample);
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns,
      Home: 0, End: seen.length - 1 };
    const to = moves[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to >= 0 && to < seen.length) go(seen[to], true);
  }

  const companion = (i, ...lines) => element("button", { type: "button", class: "companion", title: "show its company",
    click: () => go(i, true) },
  tile(sprite, i, 40, `sample ${i}`), ...[`label ${labels[i]}`, ...lines].map((line) => element("span", {}, line)));

  function plot({ curve: own, usual }) {
    const [width, height, left, bottom] = [300, 150, 34, 32];
    const top = Math.max(...own, ...usual, 1e-9);
    const place = (value, t) => [left + (epochs > 1 ? t / (epochs - 1) : 0) * (width - left - 12), 18 + (1 - value / top) * (height - bottom - 18)];
    const ticks = { x: [[place(0, 0)[0], "1"], [place(0, epochs - 1)[0], String(epochs)]],
      y: [[place(0, 0)[1], "0"], [place(top, 0)[1], top.toPrecision(2)]] };
    return drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Loss of the sample in each of ${epochs} epochs, from ${own[0]} to ${own.at(-1)}; dashed: the median of its class` },
    ...frame({ width, height, left, bottom, x: "epoch", y: "loss, nats", ticks }),
    drawn("path", { class: "line usual", d: path(usual.map(place)) }), drawn("path", { class: "line own", d: path(own.map(place)) }));
  }

  return (state) => {
    const i = state.sample;
    tiles.forEach((at, j) => { at.setAttribute("aria-checked", String(i === j)); at.tabIndex = i === j ? 0 : -1; });
    const at = tiles[i], [above, below] = [at.offsetTop - grid.scrollTop, at.offsetTop + at.offsetHeight - grid.scrollTop - grid.clientHeight];
    if (above < 0) grid.scrollTop += above; else if (below > 0) grid.scrollTop += below;
    chosen.replaceChildren(tile(sprite, i, 72, words(i)), element("span", {}, `Sample ${i}, label ${labels[i]}`,
      element("br"), `forgotten ${state.forgotten} ${state.forgotten === 1 ? "time" : "times"}, `,
      state.learned === null ? "never learned" : `first right in epoch ${state.learned}`));
    for (const [name, row] of Object.entries(rows))
      row.replaceChildren(...state.groups[name].map(([j, kappa, angle, relation]) =>
        companion(j, `κ ${kappa}`.replace("-", "−"), `${angle.toFixed(0)}°`, relation)));
    curve.replaceChildren(plot(state), element("p", { class: "key" }, "dashed: the median of its class"));
    cluster.replaceChildren(companion(state.head, state.head === i ? "its head, itself" : "its head"),
      ...state.mates.map((j) => companion(j)), element("span", { class: "key" }, `cluster of ${state.size}`));
  };
}
