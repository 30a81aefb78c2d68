# Two commands on a fresh machine: make demo, make test. Each sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11
# Tests start many short processes: each takes ten seconds longer where sources are compiled at every start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-slow setup lint wheel lock peers bench
setup: $(STAMP)

$(BIN)/uv: requirements-uv.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.txt
	touch $@

$(STAMP): $(BIN)/uv requirements.txt pyproject.toml
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

# Speed beside named peers, written into docs/PERFORMANCE.md: less than twenty minutes on two idle cores
bench: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/scoring_speed.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/data_speed.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/gpu_speed.py
	$(BIN)/python benchmarks/run_speed.py

# Style, who may import whom, and links between the documents (none outside the repository is followed)
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/lychee --offline --include-fragments --no-progress README.md docs/*.md

# The wheel is built from the source archive, so that no file of an earlier build gets into it.
wheel: setup
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist

# What benchmarks/pairs.py and pairs48.py compare with, beside .venv, which stays what requirements.txt says
peers: setup
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target .peers --require-hashes -r requirements-peers.txt

# After a change of requirements in pyproject.toml: versions that still fit stay. `--upgrade-package NAME` raises one.
lock: $(BIN)/uv
	$(LOCK) pyproject.toml --extra test --output-file requirements.txt
	$(LOCK) pyproject.toml --extra align --extra distillmos --extra formats --extra onnx --extra ray --extra speakers --extra train \
		--extra transcribe --extra vocoder \
		--constraints requirements.txt --output-file requirements-runtime.txt
	$(BIN)/python -c "import tomllib; \
		print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['peers'], sep='\n')" \
		| $(LOCK) - --constraints requirements.txt --output-file requirements-peers.txt
