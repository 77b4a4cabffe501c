"""Build the HTML from the results of a profile: Jupyter Book, with every warning an error.

    python book/build.py [--profile quick] [--output FOLDER]

At the default profile this is ``jupyter-book build .``; another one shows the results of that profile instead, and
those of the default for the notebooks that it has not run.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from lpntk.regenerate.failures import RegenerationError
from lpntk.regenerate.profile.profile import check_name

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["lpntk_profile"]


def for_profile(profile: str, folder: Path) -> list[str]:
    """Write configuration and contents for another profile; return the options that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["sphinx"]["config"] |= {"lpntk_profile": profile, "lpntk_standard": DEFAULT}
    config["sphinx"]["local_extensions"] = {
        name: str(ROOT / path) for name, path in config["sphinx"]["local_extensions"].items()
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    (folder / "toc.yml").write_text(yaml.safe_dump(contents(profile), sort_keys=False))
    return ["--config", str(folder / "config.yml"), "--toc", str(folder / "toc.yml")]


def contents(profile: str) -> dict:
    """Return the table of contents with the pages of a profile in the place of the default's, and no page twice."""
    table, seen = yaml.safe_load((ROOT / "_toc.yml").read_text()), set()
    for part in table["parts"]:
        for chapter in part["chapters"]:
            own = chapter["file"].replace(f"results/{DEFAULT}/", f"results/{profile}/")
            chapter["file"] = own if (ROOT / f"{own}.ipynb").exists() else chapter["file"]
        part["chapters"] = [c for c in part["chapters"] if c["file"] not in seen]
        seen |= {chapter["file"] for chapter in part["chapters"]}
    table["parts"] = [part for part in table["parts"] if part["chapters"]]
    return table


def main() -> int:
    """Build and return Jupyter Book's exit status."""
    parser = argparse.ArgumentParser(description="Build the book from the results of a profile.")
    parser.add_argument("--profile", default=DEFAULT)
    parser.add_argument("--output", type=Path, help="folder for _build (default: the root, or _build/PROFILE in it)")
    options = parser.parse_args()
    try:
        check_name(options.profile, "profile")
    except RegenerationError as error:
        print(error, file=sys.stderr)
        return 1
    if not (ROOT / "results" / options.profile).exists():
        print(f"no results/{options.profile}: run `make regenerate PROFILE={options.profile}` first", file=sys.stderr)
        return 1
    chapters = [chapter["file"] for part in contents(options.profile)["parts"] for chapter in part["chapters"]]
    if absent := [file for file in chapters if file.startswith("results/") and not (ROOT / f"{file}.ipynb").exists()]:
        print(f"no {', '.join(absent)}: run `make regenerate PROFILE={DEFAULT}` first", file=sys.stderr)
        return 1
    output = options.output or (ROOT if options.profile == DEFAULT else ROOT / "_build" / options.profile)
    shutil.rmtree(output / "_build" / "html", ignore_errors=True)  # or pages that are gone would lie among the others
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", str(ROOT), "--path-output", str(output), "--quiet"]
    command += ["--warningiserror", "--nitpick", "--keep-going"]
    command += ["--all"]  # Sphinx would keep a page that warned, and not warn again
    if options.profile != DEFAULT:
        command += for_profile(options.profile, output / "_build")
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        print(f"the book: {output / '_build' / 'html' / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
