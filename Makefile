# make reproduce   build the environment if needed, then the mini profile from data to report
# make test        lint, unit tests, and the smoke profile from nothing to report
#
# The environment is .venv, made with pip; it is made again when the lock file changes.
# Another profile: make reproduce CONFIG=config/smoke.yaml
# From published artefacts: make reproduce FROM=scores (or predictions, checkpoints, stage1)
# Nothing but the published report: make report
# CPU builds of torch: make environment LOCK=requirements-cpu.lock (docs/environment.md)

UV := $(shell command -v uv)
PYTHON ?= $(firstword $(foreach minor,11 12 13 14,$(shell command -v python3.$(minor))) $(shell command -v python3) python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONFIG ?= config/mini.yaml
FROM ?= scratch
LOCK ?= requirements.lock
SOURCES := src tests scripts speed

export DS_BUILD_OPS := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help environment reproduce report publish test lint unit smoke documentation claims format docs lock clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

environment: $(STAMP) ## build .venv when it is missing or older than the lock file

# uv, where there is one, brings an interpreter and is faster; PYTHON chooses another one for either.
$(STAMP): $(LOCK) pyproject.toml
ifeq ($(UV),)
	@command -v $(PYTHON) >/dev/null || { echo "cannot build the environment: no Python 3 here; install one, or uv" >&2; exit 1; }
	@$(PYTHON) scripts/check_machine.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --compile -r $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
else
	test -x $(BIN)/python || $(UV) venv --seed $(if $(filter-out undefined file,$(origin PYTHON)),--python $(PYTHON),--python 3.12) $(VENV)
	@$(BIN)/python scripts/check_machine.py
	$(UV) pip install --python $(BIN)/python --compile-bytecode -r $(LOCK)
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
endif
	touch $@

reproduce: $(STAMP) ## everything from data to results/report.html
	$(BIN)/snakemake --configfile $(CONFIG) --config start_from=$(FROM)

report: ## the published report, out of this clone in a second, without the environment
	@md5=$$(awk '/^- / {path = md5 = ""; sub(/^- /, "  ")} /path:/ {path = $$2} /md5:/ {md5 = $$2} path == "results/report.html" && md5 {print md5; exit}' results.dvc); \
	object=dvcstore/files/md5/$$(echo $$md5 | cut -c1-2)/$$(echo $$md5 | cut -c3-); \
	test -f "$$object" || { echo "make report: results.dvc names no report that is in dvcstore/; make one: make reproduce" >&2; exit 2; }; \
	cp -f "$$object" results/published_report.html && chmod u+w results/published_report.html && echo "$$PWD/results/published_report.html"

publish: $(STAMP) ## add and push to DVC what the finished run made
	$(BIN)/snakemake publish --configfile $(CONFIG)

test: lint unit smoke ## what continuous integration runs

lint: $(STAMP) ## style of the code and of the workflow
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint

unit: $(STAMP) ## unit tests without the slow ones, two at a time
	$(BIN)/pytest -n 2 -m "not slow"

smoke: $(STAMP) ## the smoke profile from nothing to its report
	rm -rf runs/smoke
	$(BIN)/snakemake --configfile config/smoke.yaml
	test -s runs/smoke/results/report.html

documentation: $(STAMP) ## run the commands that the documentation shows, at smoke size
	$(BIN)/pytest -m slow tests/repository

claims: $(STAMP) ## direction claims over three seeds (hours), kept in docs/claims for every report
	$(BIN)/snakemake claims --configfile config/mini.yaml
	rm -rf docs/claims/mini && cp -r results/claims docs/claims/mini

format: $(STAMP) ## rewrite code and workflow in the project's style
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/snakefmt workflow

docs: $(STAMP) ## write config/schema.json and docs/configuration.md
	$(BIN)/dynfocus export-config-docs

lock: ## write the lock files, the conda files and the container recipes from pyproject.toml and .venv
	$(BIN)/python scripts/export_environment.py

clean: ## remove what runs made, keep the environment
	rm -rf data backbones features checkpoints logs packs work runs .snakemake
	find results -mindepth 1 -not -name README.md -delete
