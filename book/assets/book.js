/* A page opened as a file may not read other files: no excerpts, and the reader is told why. */
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  document.addEventListener("DOMContentLoaded", () => {
    const results = document.getElementById("search-results");
    if (!results) return;
    const why = document.createElement("p");
    why.textContent =
      "Results come without excerpts, as a browser lets no page read another from a disk. For excerpts: " +
      "python -m http.server in the folder of the book, then http://localhost:8000.";
    results.before(why);
  });
}
