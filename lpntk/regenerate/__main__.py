"""``python -m lpntk.regenerate``: see ``everything``."""

import sys

from lpntk.regenerate.everything import main

if __name__ == "__main__":
    sys.exit(main())
