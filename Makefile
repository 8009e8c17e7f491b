# Each target makes its own .venv when there is none, with this Python (`make demo PYTHON=python3.12` picks another).
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test test-page check fix bench docs vendor wheel train-champion clean

help:  ## What each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-16s%s\n", $$1, $$2}' Makefile

demo: .venv/ready  ## The main job on the drawn faces: three networks and a report; then a portrait, marked and explained
	$(BIN)/python facial_expression_recognition.py --epochs 5 --out mien-run
	$(BIN)/python -c 'from PIL import Image; from skimage.data import astronaut; Image.fromarray(astronaut()).save("mien-run/astronaut.png")'
	$(BIN)/mien predict mien-run/astronaut.png --draw mien-run/portrait --explain mien-run/portrait
	@echo "The page: $(BIN)/mien serve, then open http://127.0.0.1:8000 (make vendor first, to analyse in the browser)"

# In two processes: nearly twice as fast on two cores.
test: .venv/ready  ## The tests, without the slow ones; PYTEST=... adds options
	$(BIN)/python -m pytest -q -m "not shared and not slow and not browser" -n 2 --dist loadfile $(PYTEST)

test-page: .venv/ready  ## The page of `mien serve` in Debian's chromium; after `make vendor`
	$(BIN)/python -m pytest -q -m browser -n 2 --dist loadfile

check: .venv/ready  ## What has to be clean: the formatter, the linter, the type checker
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

fix: .venv/ready  ## Format, and mend what the linter can
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: .venv/ready  ## Ratios against named alternatives; DATA=path/to/fer2013.csv for the real file
	$(BIN)/python benchmarks/read_csv.py $(DATA)
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/classify_speed.py shipped
	$(BIN)/python benchmarks/cold_start.py
	$(BIN)/python benchmarks/photos.py

vendor: .venv/ready  ## What the page of `mien serve` takes from npm, and YuNet, into the package: then a wheel works offline
	$(BIN)/python web/vendor.py

wheel: .venv/ready  ## Build the wheel and try it in a clean environment without the extras
	$(BIN)/python .ci/wheel.py

docs: .venv/docs-ready  ## The documentation site: docs/_build/html/index.html. Any warning, such as a broken link, fails
	$(BIN)/python -m mien.cli.docs > docs/cli.md
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html

.venv/docs-ready: .venv/ready
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

# About 100 minutes on two cores with bfloat16; stopped, the same command goes on. FER+ votes beside the csv are found by name.
# PHOTOGRAPHS are faces cut by mien data crop (docs/train.md).
train-champion: .venv/ready  ## A network like the one that ships: make train-champion DATA=fer2013.csv PHOTOGRAPHS=faces/
	@test -n "$(DATA)" && test -n "$(PHOTOGRAPHS)" || { echo "train-champion: got DATA='$(DATA)' and PHOTOGRAPHS='$(PHOTOGRAPHS)'; expected both. Fix: make train-champion DATA=path/to/fer2013.csv PHOTOGRAPHS=faces/" >&2; exit 2; }
	$(BIN)/mien train $(DATA) --recipe everyday --photographs $(PHOTOGRAPHS) --teacher shipped --seed 7 --out runs/everyday
	test -e runs/everyday.zip || $(BIN)/mien export runs/everyday runs/everyday.zip --half --data $(DATA)
	$(BIN)/mien calibrate runs/everyday.zip --data $(DATA) --photographs $(PHOTOGRAPHS) --out runs/champion.zip
	$(BIN)/mien evaluate --bundle runs/champion.zip $(DATA) --out runs/champion-report

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"mien needs Python 3.11, 3.12 or 3.13; {sys.executable} is {v[0]}.{v[1]}. Fix: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	touch $@

clean:  ## Remove .venv and what make demo wrote
	rm -rf .venv mien-run
