"""Run the benchmark: ``python bench/run.py``, from any folder and without installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

from bench.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
