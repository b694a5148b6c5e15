# Two commands matter: `make demo` renders the example jobs, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup servers compiled demo test test-fast test-databases acceptance production check format reference lock faults soak bench bench-queue sound media audit sbom container clean

setup: $(VENV)/.ready  ## virtual environment from the hash-locked requirements

$(VENV)/.ready: requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

servers: setup  ## Postgres servers for the tests, into .postgres/: those of MINDSCRIPT_TEST_SERVERS (15,17) that Debian has not installed
	$(BIN)/python tests/servers.py

compiled: setup  ## byte code, which Python does not keep by itself where PYTHONDONTWRITEBYTECODE is set
	@$(BIN)/python -m compileall -q dsp worker

demo: setup  ## render the example jobs into out/
	$(BIN)/mindscript-worker demo

test: compiled  ## the unit and integration tests; four at once even on two cores, since many wait for another process
	$(BIN)/python -m pytest -n 4

test-fast: compiled  ## the unit tests: no process, no network, no database
	$(BIN)/python -m pytest -n 2 -m unit

test-databases: compiled  ## the queue's tests on every supported server, 13 to 18 (fetches what is missing)
	$(BIN)/python tests/servers.py 13 14 15 16 17 18
	MINDSCRIPT_TEST_SERVERS=13,14,15,16,17,18 MINDSCRIPT_ALL_SERVERS=1 $(BIN)/python -m pytest -n 2 -m databases

check: setup  ## formatter, linter, type checker, layers, dependencies, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(MAKE) test

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

faults: compiled  ## the long ones: real kills, restarts, races
	$(BIN)/python -m pytest -m faults -s tests

acceptance: compiled  ## the promises about sound, and whole jobs of every writer, at full length
	$(BIN)/python -m pytest -n 2 -m 'acceptance or production'

production: compiled  ## whole jobs of every writer, on every variant of the app's database, at full length
	$(BIN)/python -m pytest -n 2 -m production tests

soak: compiled  ## 300 short jobs in one worker: nothing may grow
	$(BIN)/python -m pytest -m soak -s tests

bench: compiled  ## this project beside its peers, and what a track costs
	$(BIN)/python -m benchmarks --json out/bench.json --chart out/bench.png

sound: setup  ## every promise about sound, measured on delivered files
	$(BIN)/python -m benchmarks.sound

media: setup  ## files of every container and coding, whole and broken, beside FFmpeg and libsndfile
	$(BIN)/python -m benchmarks.media

bench-queue: setup  ## what the queue costs, and how soon it wakes
	$(BIN)/python -m benchmarks.queue

audit: setup  ## known weaknesses of the locked packages, from PyPI's advisories; fails when they cannot be had
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.txt \
	  || { echo 'make audit: see above. A package "not found" or a connection that failed means that it was NOT audited.' >&2; exit 1; }

sbom: setup  ## software bill of materials of the image, CycloneDX, from the lock file
	@mkdir -p out
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file out/sbom.json requirements.txt

container: ## build the image with buildah and try it (root; says so where the tools are missing)
	tests/container/run

clean:  ## remove what the commands made, the virtual environment included
	rm -rf $(VENV) out .mindscript .postgres
