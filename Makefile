# The front door. Every target sets up .venv first; PROFILE and DATA choose what is computed and from where.
PYTHON ?= python3
PROFILE ?= quick
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA_FLAG := $${DATA:+--data "$$DATA"}
export PROFILE DATA  # read by the shell, so that spaces and quotes in them are just that
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.NOTPARALLEL:  # a book is built after its results
.PHONY: book help test lab report regenerate html pdf pages bench pair lint lock clean

book: regenerate html  ## regenerate at PROFILE, then build the HTML

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-12s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

regenerate: $(READY)  ## run every notebook whose parameters, source or data changed
	$(BIN)/python -m lpntk.regenerate --profile "$$PROFILE" $(DATA_FLAG)

html: $(READY)  ## build the book from the results of PROFILE, warnings being errors
	$(BIN)/python book/build.py --profile "$$PROFILE"

pdf: html  ## the whole book as one PDF, printed by the Chromium of this machine
	$(BIN)/python book/pdf.py --profile "$$PROFILE"

pages: html  ## the built book of the default profile in a browser: what its readers stumble over
	LPNTK_BOOK=_build/html $(BIN)/python -m pytest --dist load -rs tests/report/book/test_pages.py

test: $(READY)  ## all tests
	$(BIN)/python -m pytest

lab: $(READY)  ## the notebooks, interactively
	$(BIN)/jupyter lab notebooks

report: $(READY)  ## a report on data of your own: make report DATA=folder, file or name ARGS="--epochs 20"; digits by default
	$(BIN)/python -m lpntk report $${DATA:+"$$DATA"} $(ARGS)

bench: $(READY)  ## the kernel against other ways to compute it; other libraries too: .venv/bin/pip install -e .[bench]
	$(BIN)/python bench/run.py --out results/bench/bench.json $(DATA_FLAG)

pair: $(READY)  ## write every .ipynb anew from its .py
	$(BIN)/python -m lpntk.regenerate.pairing

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lock: $(READY)  ## write requirements.txt anew from what .venv holds
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' | grep -v '^lpntk' > requirements.txt

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

clean:  ## remove .venv, the built book, and results of the short profiles
	rm -rf $(VENV) _build results/quick results/smoke results/interactive
