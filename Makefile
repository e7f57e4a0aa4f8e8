# make demo   the real chain on scikit-learn's digits      make test   all tests
# make lint   style, types and layers of code and workflow  make test-fast  those that take no long time
# make bench  what backs the figures of speed
# make test-cluster   the workflow on a Slurm that is started on this machine, as root

PYTHON ?= python3
# Snakemake's jobs call `python`, so the environment must come first on the path.
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"

# An environment has the path of its folder in it: in a checkout that was moved it is made anew.
MOVED := $(shell [ "$$(cat .venv/folder 2> /dev/null)" = "$(CURDIR)" ] || echo .venv/moved)
.PHONY: .venv/moved
.venv/installed: envs/requirements.txt pyproject.toml $(MOVED)
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --disable-pip-version-check -r envs/requirements.txt
	.venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	echo "$(CURDIR)" > .venv/folder
	touch $@

.PHONY: environment demo test test-fast test-cluster lint bench
environment: .venv/installed

demo: .venv/installed
	$(RUN) snakemake --cores all --configfile config/demo.yaml
	@echo
	@echo "The verdict: results/report.html: which claims hold, what was enough; results/claims.csv"
	@echo "The answer:  results/demo/answers.csv, stopping.scores.csv; results/demo/figures/answers.png, stopping.png"
	@echo "The figure:  results/demo/figures/figure1.png (and .pdf), results/demo/figures/curves.png"
	@echo "The numbers: results/demo/evaluations.csv, results/demo/required_pretraining.csv"
	@echo "The methods: results/methods/figures/methods.png, results/methods/methods.csv"
	@echo "The theory:  results/theory/figures/bounds.png, terms.png, thresholds.png; results/theory/theory/*.csv"
	@echo "             results/random_matrices/figures/figure2.png, figure3.png"
	@echo "Deep nets:   results/table/tables/accuracy.md (and .csv, .tex), results/table/figures/accuracy.png"
	@echo "The reports: report.html in each of results/demo, methods, theory, table, random_matrices"

test: .venv/installed
	$(RUN) python -m pytest -n 2 --dist loadscope

# What a developer runs at each change.
test-fast: .venv/installed
	$(RUN) python -m pytest -n 2 --dist loadscope -m "not slow"

# What it needs is installed where that can be done; else the tests say what is missing, and are skipped.
test-cluster: .venv/installed
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && ! command -v slurmctld > /dev/null; then \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			slurm-wlm munge) > /dev/null 2>&1 || echo "slurm-wlm and munge could not be installed"; \
	fi
	$(RUN) python -m pytest tests/cluster -rs

lint: .venv/installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) lint-imports
	$(RUN) mypy src workflow scripts
	$(RUN) snakemake --lint

bench: .venv/installed
	$(RUN) python benchmarks/selection.py
	$(RUN) python benchmarks/diameter.py
	$(RUN) python benchmarks/random_matrices.py
	$(RUN) python benchmarks/workflow.py
	$(RUN) python benchmarks/layers.py --quick
	$(RUN) python benchmarks/training.py
	$(RUN) python benchmarks/distributed.py
	$(RUN) python benchmarks/verify.py
	$(RUN) python benchmarks/claims.py
	$(RUN) python benchmarks/stopping.py
	$(RUN) python benchmarks/sweep.py --measure --results results
