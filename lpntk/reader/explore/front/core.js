/* What all explorers share: elements, tiles of one picture, controls, and a stand-in for the model where no kernel runs. */
const SVG = "http://www.w3.org/2000/svg";

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes))
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const element = (tag, attributes = {}, ...children) => made(document.createElement(tag), attributes, children);
const drawn = (tag, attributes = {}, ...children) => made(document.createElementNS(SVG, tag), attributes, children);

const percent = (value, digits = 1) => `${(100 * value).toFixed(digits)}%`;
const unique = () => `lpntk-${Math.random().toString(36).slice(2)}`;

/* One sample of the sprite, so many pixels on its longer side; a picture with words, or decoration without. */
function tile(sprite, i, side, words = "") {
  const scale = side / Math.max(sprite.width, sprite.height);
  const [w, h] = [sprite.width * scale, sprite.height * scale];
  const [row, column] = [Math.floor(i / sprite.columns), i % sprite.columns];
  const at = element("span", words ? { class: "tile", role: "img", "aria-label": words } : { class: "tile" });
  Object.assign(at.style, {
    width: `${w}px`, height: `${h}px`, backgroundImage: `url("${sprite.png}")`,
    backgroundSize: `${sprite.columns * w}px auto`, backgroundPosition: `${-column * w}px ${-row * h}px`,
  });
  return at;
}

/* Change one field of what is chosen; the answer comes as a new state. */
function choose(model, field, value) {
  model.set("choice", { ...model.get("choice"), [field]: value });
  model.save_changes();
}

/* A slider with its label and its value in words. */
function slider(words, { min, max, step = 1, value, told = String, turned }) {
  const id = unique(), output = element("output", { for: id });
  const input = element("input", { type: "range", id, min, max, step, value });
  const tell = () => {
    output.textContent = told(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => { tell(); turned(Number(input.value)); });
  tell();
  const box = element("div", { class: "control" }, element("label", { for: id }, words), input, output);
  return { box, input, tell };
}

/* A choice among named values; groups are title -> value -> words. */
function selection(words, groups, chosen) {
  const id = unique(), select = element("select", { id, change: () => chosen(select.value) });
  for (const [title, options] of Object.entries(groups)) {
    const made = Object.entries(options).map(([value, name]) => element("option", { value }, name));
    select.append(...(title ? [element("optgroup", { label: title }, ...made)] : made));
  }
  return { box: element("div", { class: "control" }, element("label", { for: id }, words), select), select };
}

const heading = (words) => element("p", { class: "heading" }, words);

/* A frame of axes: lines at the left and below, their names, ticks as [place, words]; places are pixels. */
function frame({ width, height, left, bottom, x, y, ticks }) {
  const words = (at, text, more = {}) => drawn("text", { x: at[0], y: at[1], ...more }, text);
  return [
    drawn("path", { class: "axis", d: `M${left} 8 V${height - bottom} H${width - 8}` }),
    ...ticks.x.map(([at, text]) => words([at, height - bottom + 14], text, { "text-anchor": "middle" })),
    ...ticks.y.map(([at, text]) => words([left - 4, at + 4], text, { "text-anchor": "end" })),
    words([(left + width) / 2, height - 4], x, { "text-anchor": "middle" }),
    words([left + 4, 14], y),
  ];
}

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

export function render({ model, el }) {
  const said = element("p", { class: "said", "aria-live": "polite" });
  const root = element("div", { class: "lpntk-picture" });
  const update = view(model, root);
  root.append(said, element("p", { class: "about" }, model.get("given").about));
  el.classList.add("lpntk-explorer");
  el.append(root);
  const draw = () => {
    const state = model.get("state");
    update(state);
    said.textContent = state.said;
  };
  model.on("change:state", draw);
  draw();
  return () => model.off("change:state", draw);
}

/* Where no kernel runs, the answers lie in the page, or a formula of the view gives them. */
function mount(name) {
  const data = JSON.parse(document.getElementById(`${name}-data`).textContent);
  const heard = [];
  const model = {
    get: (field) => data[field],
    set: (field, value) => { data[field] = value; },
    on: (_, callback) => heard.push(callback),
    off: (_, callback) => heard.splice(heard.indexOf(callback), 1),
    save_changes: () => {
      data.state = view.answer ? view.answer(data.choice) : data.answers[Object.values(data.choice).join("/")];
      heard.forEach((callback) => callback());
    },
  };
  render({ model, el: document.getElementById(name) });
}

export default { render };
