# `make` lists the targets: their `##` words, in the groups of the `##@` lines.
PYTHON ?= python3
# Python and pytest keep byte code here, whatever the environment says: to rewrite the assertions takes each process 8 s.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
DEMO := .venv-demo

.PHONY: help setup servers compiled demo test test-further test-fast test-databases acceptance production check format reference lock faults soak bench bench-queue bench-throughput sound media audit sbom container clean studio test-browser bench-studio

help:
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ To hear it
demo:  ## hear eight tracks and an album within minutes: installs what they need into .venv-demo, renders them into out/demo
	@$(PYTHON) tools/demo_setup.py $(DEMO)
	@$(DEMO)/bin/mindscript-worker demo
	@printf '\nClean up: make clean removes %s, out/demo, .mindscript (the queue too) and all else that make made; other tracks stay.\n' $(DEMO)

studio: setup  ## a page in the browser where a job is heard while it is being changed
	@$(BIN)/mindscript-worker studio --folder out/studio

clean:  ## remove what make made here, the demo's tracks included; what else is in out/ stays
	@# started by root in a folder that only root may enter, an embedded Postgres keeps its data below /var/tmp
	@for made in .mindscript/postgres .mindscript/demo/postgres; do \
	  case "$$(readlink $$made)" in /var/tmp/mindscript-*) rm -rf "$$(readlink $$made)";; esac; done
	rm -rf $(VENV) $(DEMO) out/demo out/bench.json out/bench.png out/sbom.json .mindscript .postgres .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find dsp mindscript worker tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
	@rmdir out 2>/dev/null || test ! -e out || { echo 'Left, since make has not made it:'; find out -mindepth 1 -maxdepth 1; }

##@ To change it
setup: $(VENV)/.ready  ## virtual environment from the hash-locked requirements

$(VENV)/.ready: requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

servers: setup  ## Postgres servers for the tests, into .postgres/, where Debian has not installed them
	$(BIN)/python tests/servers.py

compiled: setup  ## byte code, before several processes write the same at once
	@$(BIN)/python -m compileall -q dsp mindscript worker

format: setup  ## put the code in its house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: setup  ## write the reference pages that follow from the code anew
	$(BIN)/python -m tools.reference

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header
lock: setup  ## write the requirements files anew from pyproject.toml
	$(COMPILE) pyproject.toml --extra sentry -o requirements.txt
	$(COMPILE) pyproject.toml --extra sentry --extra verify -o requirements-verify.txt
	$(COMPILE) pyproject.toml --extra dev --extra local --extra picture --extra sentry -o requirements-dev.txt
	$(COMPILE) --group demo -c requirements-dev.txt -o requirements-demo.txt
	$(COMPILE) --group demo-ffmpeg -c requirements-dev.txt -o requirements-demo-ffmpeg.txt
	echo 'hatchling>=1.27' | $(COMPILE) - -c requirements-dev.txt -o requirements-build.txt

##@ To check it
test: compiled  ## the unit and integration tests; four at once even on two cores, since many wait for another process
	$(BIN)/python -m pytest -n 4 --dist worksteal

test-further: compiled  ## what takes long, and is near to what the default run shows
	$(BIN)/python -m pytest -n 4 --dist worksteal -m further

test-fast: compiled  ## the unit tests: no process, no network, no database
	$(BIN)/python -m pytest -n 2 -m unit

test-databases: compiled  ## the queue's tests on every supported server, 13 to 18 (fetches what is missing)
	$(BIN)/python tests/servers.py 13 14 15 16 17 18
	MINDSCRIPT_TEST_SERVERS=13,14,15,16,17,18 MINDSCRIPT_ALL_SERVERS=1 $(BIN)/python -m pytest -n 2 -m databases

test-browser: compiled  ## the studio's page and the queue page in a real browser (Debian: apt-get install chromium)
	$(BIN)/python -m pytest -m browser tests/browser

check: setup  ## formatter, linter, type checker, layers, dependencies, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(MAKE) test

faults: compiled  ## the long ones: real kills, restarts, races
	$(BIN)/python -m pytest -m faults -s tests

acceptance: compiled  ## the promises about sound, and whole jobs of every writer, at full length
	$(BIN)/python -m pytest -n 2 -m 'acceptance or production' tests

production: compiled  ## whole jobs of every writer, on every variant of the app's database, at full length
	$(BIN)/python -m pytest -n 2 -m production tests

soak: compiled  ## 300 short jobs in one worker: nothing may grow
	$(BIN)/python -m pytest -m soak -s tests

##@ To measure it
bench: compiled  ## this project beside its peers, and what a track costs
	$(BIN)/python -m benchmarks --json out/bench.json --chart out/bench.png

bench-throughput: compiled  ## tracks an hour, beside bare encoders on all cores
	$(BIN)/python -m benchmarks.throughput

bench-queue: setup  ## what the queue costs, and how soon it wakes
	$(BIN)/python -m benchmarks.queue

bench-studio: compiled  ## from a change in the studio to its sound, anywhere in eight hours
	$(BIN)/python -m benchmarks.studio

sound: setup  ## every promise about sound, measured on delivered files
	$(BIN)/python -m benchmarks.sound

media: setup  ## files of every container and coding, whole and broken, beside FFmpeg and libsndfile
	$(BIN)/python -m benchmarks.media

##@ To ship it
container: ## build the image with buildah and try it (root; says so where the tools are missing)
	tests/container/run

audit: setup  ## known weaknesses of the locked packages, from PyPI's advisories; fails when they cannot be had
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.txt \
	  || { echo 'make audit: see above. A package "not found" or a connection that failed means that it was NOT audited.' >&2; exit 1; }

sbom: setup  ## software bill of materials of the image, CycloneDX, from the lock file
	@mkdir -p out
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file out/sbom.json requirements.txt
