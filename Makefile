# Every target sets up what it needs; `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
.DEFAULT_GOAL := help
IMAGE  := ringline:dev
C_PARTS := $(wildcard pipeline/*/*.c pipeline/*/*/*.c)
# Which tests `test-cluster` runs; 'not slow' leaves out those that load a release for minutes.
MARKS  := slow or not slow
.PHONY: help run test test-slow test-browser test-cluster image lint bench clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.run: pyproject.toml setup.py $(C_PARTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: pyproject.toml setup.py $(C_PARTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.run

run: $(VENV)/.run  ## Replay 12,154 real candles through the whole pipeline and report
	$(BIN)/ringline run

test: $(VENV)/.dev  ## Run the tests, all but those that take long
	KUBECONFIG= $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile -m 'not slow'

test-slow: $(VENV)/.dev  ## Run the tests that take long
	KUBECONFIG= $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile -m slow

image:  ## Build the image that every pod runs (IMAGE=name:tag, CONTAINERS=docker|podman|buildah)
	$(or $(CONTAINERS),docker) build --tag $(IMAGE) .

test-browser: $(VENV)/.dev  ## Run the live page's tests in a Chromium (apt-get install chromium)
	RINGLINE_TEST_CHROMIUM=$$(command -v chromium || command -v chromium-browser || command -v google-chrome) \
		$(BIN)/python -m pytest tests/browser

test-cluster: $(VENV)/.dev  ## Run the tests on a Kubernetes: KUBECONFIG's (image on its nodes), or one that kind makes
	RINGLINE_TEST_IMAGE=$(IMAGE) tools/with_cluster.sh $(IMAGE) tools/cluster_tests.sh $(BIN)/python '$(MARKS)'

lint: $(VENV)/.dev  ## Ruff, mypy strict and the layer contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.run  ## Measure the pipeline beside the limits of this machine
	$(BIN)/ringline bench pipeline

clean:  ## Remove the environment and what runs left behind
	rm -rf $(VENV) build *.egg-info runs ringline-data
