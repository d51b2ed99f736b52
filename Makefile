# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where a machine forbids bytecode, every process would read TensorFlow's and Airflow's sources anew: 16 s instead of 6.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: coverage help setup setup-dev demo test test-all test-slow test-browser test-jax test-kubernetes up down compose lint prose docs bench bench-quality bench-inspection bench-labels bench-polarity bench-copies bench-models bench-proxy bench-scaling bench-workers bench-cost lock

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(BIN)/python:
	@echo "making $(VENV) from $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $(VENV)

# uv only installs faster: `pip install -r requirements.txt` gives the same.
$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing what Osteon needs (about 3 GB, some minutes on a slow line)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -E '^uv==' requirements-dev.txt | cut -d' ' -f1)"
	@$(BIN)/uv pip install --python $(BIN)/python -r requirements.txt
	@$(BIN)/uv pip install --python $(BIN)/python --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(BIN)/uv pip install --python $(BIN)/python -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.installed  ## make .venv and install what the project needs
setup-dev: $(VENV)/.installed-dev

demo: setup  ## run the weekly DAG on generated radiographs, in the real Airflow
	@$(BIN)/osteon run --sources config/sources.demo.yaml --budget smoke

test: setup-dev  ## the default tests on two processes
	@$(BIN)/python -m pytest -n 2 --dist loadfile

coverage: setup-dev  ## the same, with coverage: it fails below the floor of pyproject.toml (a third slower)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=

test-all: setup-dev  ## every test, the slow ones as well
	@$(BIN)/python -m pytest -m ""

test-slow: setup-dev  ## the tests that take minutes, and those that kill processes
	@$(BIN)/python -m pytest -m "slow or faults" -o timeout=1800

test-browser: setup-dev  ## Airflow's pages in Chromium (Debian's package, /usr/bin/chromium)
	@$(BIN)/python -m pytest -m browser

test-jax: setup-dev  ## models and training on JAX instead of TensorFlow: shows what still needs TensorFlow
	@$(BIN)/uv pip install --python $(BIN)/python -c requirements-dev.txt "jax[cpu]"
	@KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 --dist loadfile tests/models tests/training tests/test_predict.py

test-kubernetes: setup-dev  ## trainings in pods of the cluster that KUBECONFIG names: see docs/kubernetes.md
	@$(BIN)/python -m pytest -m kubernetes -o timeout=1500

up: setup  ## start S3, MLflow, the mail catcher and Airflow on this machine
	@$(BIN)/osteon up

down: setup  ## stop what `make up` started
	@$(BIN)/osteon down

compose:  ## the production shape in docker: passwords into .env on first use, images, services
	@"$(PYTHON)" docker/make_env.py
	@docker compose up --detach --build --wait

lint: setup-dev prose  ## style, types, layers and prose
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=include:plugins $(BIN)/lint-imports --no-logo

# Pages that `make docs` generates lie one folder deeper and are not prose of ours.
MARKDOWN := $(wildcard *.md .github/*.md docs/*.md)
prose: setup-dev  ## the documents: form, spelling, style, length of sentences
	@$(BIN)/pymarkdown scan $(MARKDOWN)
	@$(BIN)/codespell $(MARKDOWN)
	@$(BIN)/proselint check $(MARKDOWN)
	@$(BIN)/python docs/prose.py $(MARKDOWN)

docs: setup-dev  ## the documentation into site/, which loads nothing from elsewhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html"

bench: setup-dev  ## seconds of each stage, where the real archives are
	@$(BIN)/python bench/stages.py

bench-quality: setup-dev  ## precision and recall of the checks on injected defects
	@$(BIN)/python bench/quality.py
	@$(BIN)/python -W ignore bench/damage.py

bench-inspection: setup-dev  ## inspection against cleanvision, where the real archives are
	@$(BIN)/python bench/inspection.py

bench-labels: setup-dev  ## sets whose labels are wrong as a whole, and what is found in them
	@$(BIN)/python bench/labels.py

bench-polarity: setup-dev  ## how often a film and its negative are told apart, where the real archives are
	@$(BIN)/python bench/polarity.py

bench-copies: setup-dev  ## recall of altered copies, joins of the real archives and growth, into the folder OUT
	@$(BIN)/python bench/copies.py --out "$(or $(OUT),/tmp/osteon-copies)"

bench-models: setup-dev  ## the main model, its baselines, its ablations and the old model on FracAtlas (hours on 2 cores)
	@$(BIN)/python bench/models.py

bench-proxy: setup-dev  ## whether searching at half the side ranks designs as the whole side does
	@$(BIN)/python bench/proxy.py

bench-scaling: setup-dev  ## what stages cost as the number of images grows
	@$(BIN)/python bench/scaling.py

bench-workers: setup-dev  ## a search by one process, by two and by three
	@$(BIN)/python bench/workers.py

bench-cost: setup-dev  ## CPU seconds of a search against the old model, where the real archives are
	@$(BIN)/python bench/cost.py

lock: setup-dev  ## compile the pinned requirements anew
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --extra airflow --extra embedded --extra production pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --extra airflow --extra embedded --extra production --extra dev --extra docs pyproject.toml -c requirements.txt -o requirements-dev.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --extra gpu pyproject.toml -c requirements.txt -o requirements-gpu.txt
