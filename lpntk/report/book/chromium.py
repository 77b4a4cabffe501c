"""Where is a Chromium on this machine? One that is installed is used; nothing downloads one."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = f"no Chromium or Chrome: install one, as any of {', '.join(NAMES)}, or name it in LPNTK_CHROMIUM"


def find() -> str | None:
    """Return the path of a browser: the one in ``LPNTK_CHROMIUM``, or the first that PATH knows; None without."""
    return os.environ.get("LPNTK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def launch(playwright):
    """Start the browser that ``find`` finds, and return it."""
    return playwright.chromium.launch(executable_path=find(), args=["--no-sandbox"])  # CI often runs as root
