# make run     sets up, ingests the sample in data/raw into data/store, and prints its busiest hour
# make serve   sets up and starts the service on data/store, at http://127.0.0.1:3000
# make test    sets up and runs the tests;  make test-filter FILTER=pattern  runs some of them
# make soak    the crash tests at every pair of steps, the properties with many more examples, and ten minutes of everything at once, with
#              kills, losses of power and flipped bits: an hour or more;  python -m tests.soak --seconds 3600 for the last alone
# make bench-serve   the service against the original's design: Flask and a dictionary;  make soak-serve  ten minutes of
#              load, kills and other runs on the same store
# make engines old and distant readers of Parquet, Spark among them (which needs Java), read a store and see its totals
# make lint    formatting, lint and types
# make bench   compares the speed with DuckDB, Polars and ClickHouse, see benchmarks/README.md;  BENCH="--scale 0.1 --only W2"
# make sample  makes data/raw anew
# make wheels  makes the wheels and the source distribution in dist/, and checks that each runs where its tag says, or on older systems
# make tour    runs notebooks/tour.ipynb on a store of the sample alone, and makes docs/tour.md of it
PYTHON ?= python3
BIN := .venv/bin
FLOWLOG := $(BIN)/flowlog
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run serve test test-filter soak engines lint bench bench-serve soak-serve sample tour wheels clean

run: .venv/.run
	$(FLOWLOG) ingest data/raw --apps data/apps.csv
	$(FLOWLOG) query --top 10 --hour $$($(FLOWLOG) query --hour 1 --until 1000000 --by hour --top 1 --format csv | tail -n 1 | cut -d , -f 1)

serve: .venv/.serve
	$(FLOWLOG) serve

test: .venv/.test .venv/.azurite
	$(BIN)/python -m pytest -n auto --dist worksteal

test-filter: .venv/.test
	$(BIN)/python -m pytest -k '$(FILTER)'

soak: .venv/.test .venv/.azurite
	FLOWLOG_SOAK=1 $(BIN)/python -m pytest -n auto

engines: .venv/.run
	$(BIN)/python -m tests.engines .venv/engines

bench-serve: .venv/.bench-serve
	$(BIN)/python -m benchmarks.serve

soak-serve: .venv/.test
	$(BIN)/python -m tests.service.crash_driver --seconds 600 --ingest

lint: .venv/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: .venv/.bench
	$(BIN)/python -m benchmarks $(BENCH)

sample: .venv/.run
	$(BIN)/python data/generate.py

WHEELS := manylinux_2_17_x86_64 manylinux_2_17_aarch64 musllinux_1_2_x86_64 musllinux_1_2_aarch64 macosx_11_0_x86_64 macosx_11_0_arm64

wheels: .venv/.wheels
	rm -rf dist
	$(BIN)/python -m build --sdist
	for platform in $(WHEELS); do FLOWLOG_PLATFORM=$$platform $(BIN)/python -m build --wheel || exit 1; done
	for wheel in dist/*linux*.whl; do $(BIN)/auditwheel show --ldpaths /nowhere $$wheel > dist/tag || exit 1; \
		named=$$(basename $$wheel .whl | cut -d - -f 5); found=$$(tr -s '\n' ' ' < dist/tag | sed 's/.*platform tag: "\([^"]*\)".*/\1/'); \
		test "$${found%%_*}" = "$${named%%_*}" && printf '%s\n' $$found $$named | sort -V -C || { cat dist/tag; exit 1; }; done
	rm dist/tag

tour: export FLOWLOG_STORE := $(CURDIR)/.venv/tour
tour: .venv/.notebook
	rm -rf .venv/tour
	$(FLOWLOG) ingest data/raw --apps data/apps.csv --quiet
	$(BIN)/jupyter nbconvert --to markdown --execute --NbConvertBase.display_data_priority='["image/png", "text/plain"]' \
	    --output-dir docs notebooks/tour.ipynb

clean:
	rm -rf .venv data/store

.venv/.run .venv/.serve .venv/.test .venv/.notebook .venv/.bench .venv/.bench-serve .venv/.lint .venv/.wheels: pyproject.toml constraints.txt hatch_build.py \
                $(wildcard pipeline/kernel/*.[ch])
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) --editable '.$(EXTRA)'
	touch $@

# A server that speaks Azure's language, where npm can have it; without it, its tests are skipped.
.venv/.azurite: | .venv/.test
	-command -v npm > /dev/null && npm install --silent --no-audit --no-fund --fetch-retries 0 --prefix .venv/azurite azurite@3.35.0
	touch $@

.venv/.serve: EXTRA := [serve]
.venv/.test: EXTRA := [serve,sql,cloud,dask,notebook,test]
.venv/.notebook: EXTRA := [notebook]
.venv/.bench: EXTRA := [bench]
.venv/.bench-serve: EXTRA := [serve,bench-serve]
.venv/.lint: EXTRA := [lint,serve,cloud,dask]
.venv/.wheels: EXTRA := [wheels]
