# One target per intention; CI calls the same names.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?=
ARCHITECTURE ?=
FUZZ_SECONDS ?= 300
# Where this is set, as in many containers, every run would compile every test anew.
unexport PYTHONDONTWRITEBYTECODE
# Test processes side by side, for two cores: the slow tests wait for other processes much of the
# time, which a third one uses. The tests of one file stay together. Files are begun in the order of
# their names, which has the long ones early: otherwise those of few tests, the longest, would be
# the last.
TOGETHER := --dist loadfile --no-loadscope-reorder
FAST := -n 2 $(TOGETHER)
SLOW := -n 3 $(TOGETHER)
# Percent of lines and branches, without what processes of their own run.
LEAST_COVERED := 77

.PHONY: demo up unit test test-all lint fuzz format bench screenshots lock clean

demo: $(VENV)/.local
	@$(BIN)/python -m launcher demo $(if $(DATA),--data "$(DATA)") $(if $(ARCHITECTURE),--architecture "$(ARCHITECTURE)")

up: $(VENV)/.local
	@$(BIN)/python -m launcher up

# The tests that start no process, and train no real network.
unit: $(VENV)/.dev
	$(BIN)/python -m pytest $(FAST) -m "not slow and not integration and not process"

# Of the fast tests it is measured how much of the code they run; `coverage report -m` shows the rest.
test: $(VENV)/.dev
	$(BIN)/python -m pytest $(FAST) -m "not slow and not integration" \
		--cov --cov-report= --cov-fail-under=$(LEAST_COVERED)
	$(BIN)/python -m pytest $(SLOW) -m "(slow or integration) and not exhaustive"

# And what takes minutes more to find little more, such as whole trainings of every architecture.
test-all: test
	$(BIN)/python -m pytest $(SLOW) -m exhaustive

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# FUZZ_SECONDS each for the image decoder and for the archive reader; finds lie in var/fuzz.
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz.run $(FUZZ_SECONDS)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# BENCH_DATA names a folder of photographs to measure with.
bench: $(VENV)/.bench $(VENV)/.bentoml
	$(BIN)/python -m benchmarks

# Every page in every state, by a real Chromium, in var/screenshots; and the README's pictures.
screenshots: $(VENV)/.dev
	@$(BIN)/python -m tests.screenshots

# Each installs everything the services need; .dev adds what tests and checks need.
$(VENV)/.local: requirements/local.txt
	@$(MAKE) --no-print-directory install REQUIREMENTS=$<
	@touch $@

$(VENV)/.dev: requirements/dev.txt
	@$(MAKE) --no-print-directory install REQUIREMENTS=$<
	@touch $@ $(VENV)/.local

$(VENV)/.fuzz: requirements/fuzz.txt
	@$(MAKE) --no-print-directory install REQUIREMENTS=$<
	@touch $@ $(VENV)/.dev $(VENV)/.local

$(VENV)/.bench: requirements/bench.txt
	@$(MAKE) --no-print-directory install REQUIREMENTS=$<
	@touch $@ $(VENV)/.dev $(VENV)/.local

# BentoML's pins exclude TensorFlow's: it is measured from an environment of its own.
$(VENV)/.bentoml: requirements/bentoml.txt $(VENV)/.bench
	@$(MAKE) --no-print-directory install REQUIREMENTS=$< VENV=$(VENV)/bentoml
	@touch $@

.PHONY: install
install:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else f"Headstart needs Python 3.11 or 3.12, this is {sys.version.split()[0]}: set PYTHON=python3.12, say.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing $(REQUIREMENTS) into $(VENV) (the first time takes a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(REQUIREMENTS)

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --no-strip-extras pyproject.toml

# New pins for everything; what pip installs is exactly what stands there.
lock:
	$(COMPILE) --upgrade -o requirements/dev.txt --extra trainer --extra worker --extra predictor --extra client --extra local --extra dev
	$(COMPILE) -c requirements/dev.txt -o requirements/bench.txt --extra trainer --extra worker --extra predictor --extra client --extra local --extra dev --extra bench
	$(COMPILE) -c requirements/dev.txt -o requirements/fuzz.txt --extra trainer --extra worker --extra predictor --extra client --extra local --extra dev --extra fuzz
	$(COMPILE) -c requirements/dev.txt -o requirements/local.txt --extra trainer --extra worker --extra predictor --extra client --extra local
	$(COMPILE) -c requirements/dev.txt -o requirements/trainer.txt --extra trainer
	$(COMPILE) -c requirements/dev.txt -o requirements/worker.txt --extra worker
	$(COMPILE) -c requirements/dev.txt -o requirements/predictor.txt --extra predictor
	$(COMPILE) -c requirements/dev.txt -o requirements/gpu.txt --extra gpu
	$(COMPILE) -o requirements/bentoml.txt --extra bentoml

clean:
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache
