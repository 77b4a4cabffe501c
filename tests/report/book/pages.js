/* What a reader would stumble over on this page, as a list of sentences. */
() => {
  const found = [];
  const told = (element) => `${element.outerHTML.slice(0, 80)} ... ${element.textContent.trim().slice(0, 40)}`;
  const seen = (element) => element.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
  const outside = (element) => element.getBoundingClientRect().right > innerWidth + 1;
  const clips = (element, how) => how.test(getComputedStyle(element).overflowX);

  if (document.documentElement.scrollWidth > innerWidth) found.push("the page scrolls sideways");

  /* Whatever leaves the window must be in a box that scrolls and that a keyboard reaches. */
  for (const element of all("article table, article div.math svg, article img, article pre")) {
    let box = element;
    while (box && !(clips(box, /auto|scroll/) && box.scrollWidth > box.clientWidth + 1)) box = box.parentElement; /* 1: rounding, as in scroll.js */
    const inside = box && box.closest("article");
    if (inside && outside(box)) found.push(`its box is cut too: ${told(element)}`);
    if (!inside && outside(element)) found.push(`cut at the edge: ${told(element)}`);
    if (inside && box.tabIndex < 0) found.push(`no keyboard scrolls it: ${told(element)}`);
  }

  /* An inline formula may be cut by a box of its own that hides what is too much. */
  for (const formula of all("article span.math"))
    if (formula.querySelector("svg")?.getBoundingClientRect().width > formula.clientWidth + 2)
      if (!clips(formula, /auto/) || formula.tabIndex < 0) found.push(`a formula is cut: ${told(formula)}`);

  for (const formula of document.querySelectorAll(".math:not(:has(mjx-container))")) found.push(`not drawn: ${told(formula)}`);
  for (const formula of document.querySelectorAll("[data-mml-node=merror]")) found.push(`no TeX: ${told(formula)}`);

  const words = document.body.cloneNode(true);
  for (const element of words.querySelectorAll("script, style, pre, code, mjx-container")) element.remove();
  const tex = words.textContent.match(/.{0,20}(\$\$|\\[a-zA-Z]{2,}|\\[([\])]).{0,20}/);
  if (tex) found.push(`TeX as it was typed: ${tex[0]}`);

  for (const image of document.querySelectorAll("img"))
    if (!image.alt && image.role !== "presentation") found.push(`without words: ${told(image)}`);

  /* A figure leads to its file; on a phone its letters, 14 of 150 dots to an inch, keep some 5 pixels. */
  for (const image of document.querySelectorAll("article img[src*='_images/'][src$='.png']")) {
    if (image.closest("a")?.href !== image.src) found.push(`no link to its file: ${told(image)}`);
    if (seen(image) && image.complete && image.width < 0.39 * image.naturalWidth) found.push(`small: ${told(image)}`);
  }
  return found;
}
