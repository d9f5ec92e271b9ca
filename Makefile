# Two commands matter: `make demo` and `make test`. Each sets itself up from nothing.
# The rest is listed by `make help`.

# The first interpreter that is 3.11 or 3.12 and can make an environment.
FIND_PYTHON = for python in python3.11 python3.12 python3 python; do \
  $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
  2>/dev/null && command -v $$python && break; done
PYTHON ?= $(shell $(FIND_PYTHON))
RUN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup bootstrap demo test javascript lint types bench fetch train paper live go-live dashboard doctor clean lock schema extra-tune

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## make .venv from the hash locks (again and again, if you like)
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 with venv found. Install one (README, 'Set-up') \
	or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) tools/install.py

bootstrap: setup ## the same as setup

demo: setup ## the main job with no account, on the local exchange
	@echo "The demo needs the learner and the trader, which are not whole yet (CHANGELOG.md). The exchange is: python -m exchange serve" >&2
	@exit 1

test: setup ## run the test suite
	@$(RUN) -m pytest -n auto --dist loadfile -m 'not alone' $(ARGS)
	@$(RUN) -m pytest -m alone $(ARGS) || [ $$? -eq 5 ] # 5: none of them was asked for

# For one test: the broker's JavaScript client beside our exchange. By its lock; no script of a package runs.
javascript: ## fetch that client, if you have node and npm
	@npm ci --prefix tests/javascript --ignore-scripts --no-audit --no-fund

lint: setup ## ruff: rules and format
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: setup ## mypy, strict
	@$(RUN) -m mypy .

# The peers live in an environment of their own, which is made anew when its lock has changed.
bench: setup ## time us beside the peers (ARGS=--quick)
	@cmp -s requirements-bench.txt .venv-bench/ready || { rm -rf .venv-bench && $(PYTHON) -m venv .venv-bench && \
	  echo '*' > .venv-bench/.gitignore && .venv-bench/bin/python -m pip install --disable-pip-version-check \
	  --no-input --no-deps --quiet --require-hashes -r requirements-bench.txt && \
	  cp requirements-bench.txt .venv-bench/ready; } || echo "The peers cannot be installed; the tables say so." >&2
	@$(RUN) -m bench all $(ARGS); code=$$?; $(RUN) -m bench page && exit $$code

fetch: setup ## download what config.json asks for
	@$(RUN) fetch.py $(ARGS)

train: setup ## learn, judge, promote
	@$(RUN) train.py $(ARGS)

paper: setup ## one session with simulated orders
	@$(RUN) trade.py --paper $(ARGS)

live: setup ## one session as config.json says; paper_trading false is LIVE
	@$(RUN) trade.py $(ARGS)

go-live: fetch train live ## the three commands of a trading day, in order

dashboard: setup ## http://127.0.0.1:8000
	@$(RUN) dashboard.py $(ARGS)

doctor: setup ## what is missing, and how to mend it
	@$(RUN) fetch.py --fn doctor

schema: setup ## write config/config.schema.json from settings.py
	@$(RUN) -c "import json, settings; print(json.dumps(settings.json_schema(), indent=2))" > config/config.schema.json

extra-tune: setup ## what train.py --fn tune and --backend ray need
	@$(RUN) -m pip install --disable-pip-version-check --no-input --quiet --require-hashes -r requirements-tune.txt

lock: setup ## resolve requirements*.in anew into the hash locks
	@$(RUN) tools/lock.py

clean: ## remove what can be made again; data, models and .env stay
	rm -rf .venv .venv.lock .venv-3.12 .venv-3.12.lock .venv-bench .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './data/*' -prune -exec rm -rf {} +
