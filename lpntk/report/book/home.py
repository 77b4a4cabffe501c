"""Where does this project live? ``repository: url`` in ``_config.yml`` says so, or LPNTK_REPOSITORY for one command.

As long as neither does, no page links to a repository and no notebook offers to install from one.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote

import yaml

CONFIG = Path(__file__).resolve().parents[3] / "_config.yml"


def address() -> str:
    """Return the URL of the repository, or an empty text where none is configured."""
    own = os.environ.get("LPNTK_REPOSITORY")
    return (_configured().get("url") or "" if own is None else own).rstrip("/").removesuffix(".git")


def branch() -> str:
    """Return the branch that links lead to."""
    return _configured().get("branch") or "main"


def launchers(notebook: str) -> dict[str, str]:
    """Return, by the name of a service that runs notebooks, where it opens one."""
    home, at = address(), branch()
    if not home:
        return {}
    repository = home.split("://", 1)[-1].partition("/")[2]
    on_github = home.startswith("https://github.com/")
    place = f"gh/{repository}" if on_github else f"git/{quote(home, safe='')}"
    found = {"Binder": f"https://mybinder.org/v2/{place}/{quote(at, safe='')}?urlpath=lab/tree/{quote(notebook)}"}
    if on_github:  # Colab opens from nowhere else
        found["Colab"] = f"https://colab.research.google.com/github/{repository}/blob/{quote(at)}/{quote(notebook)}"
    return found


def installed_from(page: str) -> str:
    """Return a page with this project's address in its commands to install, where there is one to tell.

    Args:
        page: Markdown; ``git+REPOSITORY`` stands for the address, and a line that begins with ```REPOSITORY``` explains
            that to a reader who is not told it.
    """
    if not (home := address()):
        return page
    page = re.sub(r"^`REPOSITORY` .*\n", "", page, flags=re.MULTILINE)
    return page.replace("git+REPOSITORY", f"git+{home}@{branch()}")


def _configured() -> dict:
    return yaml.safe_load(CONFIG.read_text()).get("repository") or {} if CONFIG.exists() else {}
