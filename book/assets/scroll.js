/* What is wider than its page scrolls in its own box: a keyboard reaches it, it has a name, and it fades where more follows. */
const WIDE = {
  ".math:has(> mjx-container)": "Formula, wider than the page",
  ".alone-box": "Figure, wider than the page",
  ".pst-scrollable-table-container, .cell_output > .output:has(table)": "Table, wider than the page",
};

/* A side fades as far as there is more of it, up to three letters or so. */
const shade = (box) => {
  const rest = { left: box.scrollLeft, right: box.scrollWidth - box.clientWidth - box.scrollLeft };
  for (const [side, hidden] of Object.entries(rest)) box.style.setProperty(`--${side}`, `${Math.min(2 * hidden, 48)}px`);
};

const measure = (box, name) => {
  /* the drawing of a formula, as its invisible MathML may reach further */
  const width = box.querySelector("mjx-container > svg")?.getBoundingClientRect().width ?? box.scrollWidth;
  const wide = width > box.clientWidth + 1;
  box.classList.toggle("wide", wide);
  for (const [key, value] of Object.entries({ tabindex: 0, role: "group", "aria-label": name }))
    wide ? box.setAttribute(key, value) : box.removeAttribute(key);
  shade(box);
};

window.addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  for (const [boxes, name] of Object.entries(WIDE)) {
    const sizes = new ResizeObserver((changed) => changed.forEach(({ target }) => measure(target, name)));
    for (const found of document.querySelectorAll(boxes)) {
      const box = found.matches("div.math") ? found.querySelector("mjx-container") : found; /* its number stays in view */
      sizes.observe(box);
      box.addEventListener("scroll", () => shade(box), { passive: true });
    }
  }
});
