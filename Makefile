# Every target works first on a fresh clone: with Python 3.11 or newer and make it makes .venv and installs what it needs.

VENV := .venv
BENCH := build/bench-venv
py   := $(VENV)/bin/python
# Never a console script: its first line can't hold a path with a space in it.
pip  := $(py) -m pip -qq --disable-pip-version-check --no-input install
# Floors 0 to 4 of docs/architecture.md, of which 95 % of the branches are tested.
FLOORS := aioparcs/errors/*,aioparcs/deadlines.py,aioparcs/settings.py,aioparcs/address.py,aioparcs/entry.py,aioparcs/ending.py,$\
	aioparcs/wire/*,aioparcs/auth.py,aioparcs/codec/*,aioparcs/transport/*,aioparcs/channel/*,aioparcs/engine/*
PICTURES := floyd_warshall/floyd_warshall.jpg mandelbrot/mandelbrot.png painting/painting.jpg pi/pi.png word_count/word_count.png

# The tests start thousands of processes: each starts in two thirds of the time if it finds its bytecode compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo examples docs test test-fast test-deep test-all simulate chaos exits coverage check check-deep dist bench bench-swarm bench-broadcast bench-pool bench-shared bench-all bench-quick cluster cluster-down clean .venv
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z.-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.runtime ## find the divisors of a number on 8 workers of this machine
	@$(py) -m aioparcs demo

examples: $(VENV)/.dev ## run the examples that draw, and renew their pictures
	@for picture in $(PICTURES); do \
		folder=examples/$${picture%/*}; \
		test -d $$folder/runner && folder=$$folder/runner; \
		$(py) -m aioparcs run $$folder -e PICTURE=examples/$$picture || exit; \
	done
	@$(py) -m aioparcs run examples/qr_codes/runner -e N=1 -e FOLDER=examples/qr_codes

# Three processes more than cores: those with the cluster's tests wait for containers most of the time.
test: $(VENV)/.dev ## run the tests
	@$(py) -m pytest -n $$(($$(nproc) + 3))

test-fast: $(VENV)/.dev ## run the tests that are quick and need no cluster
	@$(py) -m pytest -n $$(($$(nproc) + 1)) -m 'not cluster and not slow' --one-loop

test-deep: $(VENV)/.dev ## run many more random histories of the schedulers, and of runs that are killed
	@TEST_DEEP=1 $(py) -m pytest -n $$(($$(nproc) + 1)) -m deep

simulate: $(VENV)/.dev ## run histories of jobs with faults on a virtual clock; HISTORIES= and SEED= of the first
	@$(py) -m tests.simulation --histories $(or $(HISTORIES),10000) --seed $(or $(SEED),1) --processes $$(nproc)

chaos: $(VENV)/.dev ## fail processes, networks, disks and dockerds of the test cluster while jobs work (Debian, root); MINUTES= and SEED=
	@$(py) -m tests.chaos --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1)

exits: $(VENV)/.dev ## kill and stop runners at every step, and see what is left (Debian, root); MOMENTS= and SEED=
	@$(py) -m tests.exits turns requests moments --moments $(or $(MOMENTS),200) --seed $(or $(SEED),1)

coverage: $(VENV)/.dev ## measure the branch coverage of the tests that need no cluster
	@rm -rf build/coverage
	@$(py) -m coverage run -m pytest -n $$(($$(nproc) + 1)) -m 'not cluster and not untraced'
	@$(py) -m coverage combine --quiet
	@$(py) -m coverage report
	@$(py) -m coverage report --include '$(FLOORS)' --fail-under 95

test-all: ## run the tests on every Python from 3.11 to 3.14 that is found here
	@MAKE="$(MAKE)" sh .ci/test-all

check: $(VENV)/.dev ## check format, lint, words, types and the architecture
	@$(py) -m ruff format --check --quiet .
	@$(py) -m ruff check --quiet .
	@$(py) .ci/words.py
	@$(py) -m mypy --no-error-summary
	@$(py) -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo

check-deep: $(VENV)/.fuzz ## fuzz what reads bytes of others, a minute each; SECONDS= and SEED=
	@$(py) -m tests.fuzz all --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)

docs: $(VENV)/.docs ## build the pages as a site, into build/docs; a broken link or an unknown reference is an error
	@$(py) -m sphinx --quiet --fail-on-warning --keep-going -c docs/site -d build/docs-cache . build/docs
	@echo "build/docs/index.html"

dist: $(VENV)/.dev ## build the wheel and the source distribution, into dist/
	@rm -rf dist
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(py) -m hatchling build

bench: $(VENV)/.dev ## measure channels and starting workers, into build/bench.json
	@mkdir -p build
	@$(py) -m benchmarks channel spawn --json build/bench.json

bench-swarm: $(VENV)/.dev ## measure starting workers on a Swarm, into build/bench-swarm.json
	@mkdir -p build
	@$(py) -m benchmarks swarm --json build/bench-swarm.json

bench-broadcast: $(VENV)/.dev ## measure a large array for all workers on the test cluster, into build/bench-broadcast.json
	@mkdir -p build
	@$(py) -m benchmarks broadcast --json build/bench-broadcast.json

bench-pool: $(BENCH)/.made ## measure pools against multiprocessing, Ray, Dask and Docker, into build/bench-pool.json
	@$(BENCH)/bin/python -m benchmarks pool --json build/bench-pool.json

bench-shared: $(BENCH)/.made ## measure large arrays against multiprocessing, joblib and Ray, into build/bench-shared.json
	@$(BENCH)/bin/python -m benchmarks shared --json build/bench-shared.json

bench-all: $(BENCH)/.made $(VENV)/.dev ## measure aioparcs and its peers, into benchmarks/results and docs/performance.md; ONLY=items for a part
	@$(BENCH)/bin/python -m benchmarks.performance measure $(ONLY)
	@$(py) -m benchmarks.performance draw

bench-quick: $(VENV)/.dev ## measure a few ratios in a minute, and compare them with the last results
	@$(py) -m benchmarks.performance quick

cluster: $(VENV)/.dev ## bring up a real Swarm of three nodes on this machine (Debian, root)
	@$(py) -m tests.cluster up

cluster-down: $(VENV)/.dev ## take that Swarm down
	@$(py) -m tests.cluster down

clean: ## remove what the other targets made
	@rm -rf .venv .venv-3.* build dist *.egg-info .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: $(VENV)/.dev

$(VENV)/.made:
	@PYTHON="$(PYTHON)" sh .ci/venv $(VENV)
	@touch $@

$(VENV)/.runtime: pyproject.toml | $(VENV)/.made
	@echo "Installing aioparcs into $(VENV)"
	@$(pip) --editable .
	@touch $@

$(BENCH)/.made: pyproject.toml
	@PYTHON="$(PYTHON)" sh .ci/venv $(BENCH)
	@echo "Installing aioparcs and what it is measured against into $(BENCH)"
	@$(BENCH)/bin/python -m pip -qq --disable-pip-version-check --no-input install --upgrade 'pip>=25.1'
	@$(BENCH)/bin/python -m pip -qq --no-input install --group bench --editable .
	@touch $@

$(VENV)/.docs: pyproject.toml $(VENV)/.runtime
	@echo "Installing Sphinx into $(VENV)"
	@$(pip) --upgrade 'pip>=25.1'
	@$(pip) --group docs
	@touch $@

$(VENV)/.fuzz: pyproject.toml $(VENV)/.dev
	@echo "Installing atheris into $(VENV)"
	@$(pip) --group fuzz
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.runtime
	@echo "Installing the development tools into $(VENV)"
	@$(pip) --upgrade 'pip>=25.1'
	@$(pip) --group dev
	@touch $@
