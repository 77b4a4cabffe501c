"""Where do the book's extensions of Sphinx lie?"""

from pathlib import Path

ROOMS = [str(folder) for folder in sorted(Path(__file__).parents[2].glob("book/_ext/*/"))]
