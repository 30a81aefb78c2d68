# Two commands on a fresh machine: make demo, make test. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Many short processes: where sources are compiled at each start, every one of them takes ten seconds longer.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-slow setup lint
setup: $(STAMP)

$(STAMP): requirements.txt requirements-uv.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

demo: setup
	$(BIN)/clean-corpus demo demo/corpus
	$(BIN)/clean-corpus run demo/corpus demo/out

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
