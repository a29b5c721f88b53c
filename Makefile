# Everything a developer or an operator types. `make help` lists it.
# `make demo` and `make test` set up all they need in .venv; only Python 3.11+ and make must be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
PYTHONS := 3.11 3.12 3.13 3.14
CONSTRAINTS := --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: $(shell awk -F: '/^[a-z0-9-]+:.*## / {print $$1}' $(MAKEFILE_LIST))

MINUTES ?= 60

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "openclaw-watchdog needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 <target>")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made; on Debian: apt install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade $(CONSTRAINTS) --editable '.[dev]'
	@touch $(STAMP)

run: $(STAMP) ## watch the gateway of this machine (ARGS="--observe" to only look)
	@$(BIN)/openclaw-watchdog run $(ARGS)

demo: $(STAMP) ## see it work: the real daemon against a simulated gateway, about half a minute
	@$(BIN)/openclaw-watchdog demo $(ARGS)

# A third of what they do is waiting for what they start.
WORKERS = $$($(BIN)/python -c 'import os; print((os.cpu_count() or 1) * 3 // 2)')

test: $(STAMP) ## all hermetic tests, on every core
	@$(BIN)/pytest -n $(WORKERS) $(ARGS)

test-3.%:
	@python=$$(.ci/python 3.$*) && $(MAKE) --no-print-directory test PYTHON="$$python" VENV=.venv-3.$*

test-pythons: ## the same on every Python that is here, each in an environment of its own (make test-3.13: on one)
	@for one in $(PYTHONS); do \
	  if .ci/python $$one; then $(MAKE) --no-print-directory test-$$one || exit 1; else echo "skipped: Python $$one"; fi; \
	done

test-lowest: ## the same with the oldest libraries that pyproject.toml allows; what these deprecate is no error
	@rm -f .venv-lowest/.installed
	@mkdir -p .venv-lowest && $(PYTHON) .ci/lowest > .venv-lowest/constraints.txt
	@$(MAKE) --no-print-directory test VENV=.venv-lowest CONSTRAINTS='--constraint .venv-lowest/constraints.txt' \
	  ARGS="-W default::DeprecationWarning -W default::PendingDeprecationWarning $(ARGS)"

test-newest: ## the same with the newest of everything there is today
	@rm -f .venv-newest/.installed
	@$(MAKE) --no-print-directory test VENV=.venv-newest CONSTRAINTS=

# pip fetches what uv installs: it knows the index that is configured here, and uv does not read its configuration.
HERE = mkdir -p build/wheel/home && env -i HOME="$$PWD/build/wheel/home" PATH="$$PATH" UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never
UV_ALONE = --quiet --offline --no-index --find-links build/wheel/needs --constraints constraints.txt --python $(PYTHON)

wheel: $(STAMP) ## the wheel, installed into an empty environment with what it says it needs, the demo run there, and the same by `uvx --from` and `uv tool install`
	@rm -rf build/wheel
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir build/wheel .
	@$(PYTHON) -m venv build/wheel/env
	@build/wheel/env/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt build/wheel/*.whl
	@cd build/wheel && env/bin/openclaw-watchdog --version && env/bin/openclaw-watchdog demo
	@$(PYTHON) -m venv build/wheel/tool
	@build/wheel/tool/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	@build/wheel/env/bin/python -m pip wheel --quiet --disable-pip-version-check --constraint constraints.txt --wheel-dir build/wheel/needs build/wheel/*.whl
	@$(HERE) build/wheel/tool/bin/uvx $(UV_ALONE) --from build/wheel/*.whl openclaw-watchdog --version
	@$(HERE) build/wheel/tool/bin/uvx $(UV_ALONE) --from build/wheel/*.whl openclaw-watchdog check 2>/dev/null | grep -E '^(OK|WARNING|CRITICAL|UNKNOWN) - '
	@$(HERE) build/wheel/tool/bin/uv tool install $(UV_ALONE) build/wheel/*.whl && build/wheel/home/.local/bin/openclaw-watchdog --version

release: $(STAMP) ## what a release consists of, in dist/: sdist, wheel, and an SBOM of an environment that has the wheel and no more
	@rm -rf dist build/release
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@$(PYTHON) -m venv --without-pip build/release/env
	@$(BIN)/python -m pip --python build/release/env/bin/python install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	@$(PYTHON) -m venv build/release/tool
	@build/release/tool/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	@build/release/tool/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
	  --output-file dist/openclaw-watchdog.cdx.json build/release/env/bin/python
	@cd dist && sha256sum * > ../build/release/SHA256SUMS && mv ../build/release/SHA256SUMS .

check: $(STAMP) ## ruff, mypy --strict on package and tests, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

e2e: $(STAMP) ## real OpenClaw gateways from npm, four versions, a real IRC network, Telegram on a Bot API of its own (Linux)
	@$(BIN)/python -m tests.e2e.harness.install
	@$(BIN)/pytest -m e2e tests/e2e --ignore tests/e2e/test_harness.py --ignore tests/e2e/test_conformance.py -v -n 2 --dist loadfile --durations=20 --timeout=2400 -p no:cacheprovider $(ARGS)

people: $(STAMP) ## who asked, where and with which rights, over the gateways' Telegram channel, every release (long; ARGS="-k 2026.3.24" for one)
	@$(BIN)/python -m tests.e2e.harness.install
	@$(BIN)/pytest -m e2e tests/e2e/test_telegram*.py --every-release -v --timeout=2400 -p no:cacheprovider $(ARGS)

harness: $(STAMP) ## the end-to-end harness itself, every maker on every version (long)
	@$(BIN)/pytest -m e2e tests/e2e/test_harness.py -v --timeout=2400 -p no:cacheprovider $(ARGS)

releases: $(STAMP) ## every stable OpenClaw release, one by one, into docs/compatibility.md (hours; goes on where it stopped; VERSIONS="2026.5.7 2026.9.7" for some)
	@$(BIN)/python -m tests.releases $(VERSIONS) $(ARGS)

again: $(STAMP) ## one release of the record, another every fifth day, tried once more: it shows nothing new (ARGS=2026.9.4 for that one)
	@$(BIN)/python -m tests.releases.again $(ARGS)

faults: $(STAMP) ## breaks everything in turn and prints what happened (long; ARGS="-m 'not gateways'": without OpenClaw)
	@$(BIN)/python -m tests.faults $(ARGS)

hostile: $(STAMP) ## gateways that mean harm beside a healthy one, about two minutes (ARGS="-k emoji" for some)
	@$(BIN)/pytest -m hostile tests/hostile -n 2 -p no:cacheprovider $(ARGS)

container: $(STAMP) ## the image, the compose file and the Kubernetes pods, built and run with podman beside a real gateway (Linux, root; ARGS=--record: docs/container.md says what it took)
	@$(BIN)/pytest -m container tests/container -v --timeout=2400 -p no:cacheprovider $(ARGS)

newcomer: $(STAMP) ## the path of docs/newcomer.md from a clone of what is committed, typed and timed (ARGS=--record: it says so)
	@$(BIN)/python -m tests.newcomer $(ARGS)

soak: $(STAMP) ## an hour beside a busy real gateway: memory, handles, missed or doubled recoveries (MINUTES=60)
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(ARGS)

bench: $(STAMP) ## what watching costs, measured on a real gateway
	@$(BIN)/python -m tests.bench $(ARGS)

corpus: $(STAMP) ## the scoreboard of real incidents (ARGS="59878" shows the course of some)
	@$(BIN)/python -m tests.incidents $(ARGS)

mutants: $(STAMP) ## takes out each guard in turn; the suite must notice (a few minutes)
	@$(BIN)/python -m tests.mutants $(ARGS)

pictures: $(STAMP) ## draw docs/ anew: the page (needs Chromium), top, the log, the messages
	@$(BIN)/python -m tests.pictures $(ARGS)

messages: $(STAMP) ## write docs/messages.md anew, after a change of a message's words; then read the diff
	@WRITE_GOLDEN=1 $(BIN)/pytest -q -n 0 tests/unit/service/test_announcements.py $(ARGS)

conformance: $(STAMP) ## the simulator beside real gateways, scenario by scenario (ARGS="2026.9.6 reset")
	@$(BIN)/python -m tests.conformance $(ARGS)

fuzz: $(STAMP) ## broken frames, rows and clocks through to decisions (CASES=100000 SEED=1)
	@$(BIN)/python -m tests.fuzz --cases $(or $(CASES),100000) --seed $(or $(SEED),1) $(ARGS)

sim: $(STAMP) ## the real watchdog in virtual time, about a minute (or SEED=7 HOURS=200, or ARGS="--session-hours 1000000")
	@$(BIN)/python -m tests.sim $(if $(SEED),--seed $(SEED)) $(if $(HOURS),--hours $(HOURS)) $(ARGS)

figures: $(STAMP) ## write docs/evidence.md anew, of its words and what the commands recorded (each with ARGS=--record)
	@$(BIN)/python -m tests.figures

SITE := .venv-docs
SPHINX = $(SITE)/bin/sphinx-build --quiet --fail-on-warning --keep-going -c docs/site -d build/docs/doctrees .

$(SITE)/.installed: pyproject.toml constraints.txt docs/site/requirements.txt
	@test -x $(SITE)/bin/python || $(PYTHON) -m venv $(SITE)
	@$(SITE)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --requirement docs/site/requirements.txt --editable .
	@touch $@

docs: $(SITE)/.installed ## the site, in build/docs/html, each link inside it checked; whether the man page is the commands' own
	@rm -rf build/docs
	@$(SPHINX) -b html build/docs/html
	@$(SPHINX) -b man build/docs/man
	@cmp build/docs/man/openclaw-watchdog.1 docs/openclaw-watchdog.1 || { echo "make man writes it anew" >&2; exit 1; }

man: $(SITE)/.installed ## write docs/openclaw-watchdog.1 anew, after a change of a command's --help
	@rm -rf build/docs
	@$(SPHINX) -b man build/docs/man
	@cp build/docs/man/openclaw-watchdog.1 docs/openclaw-watchdog.1

links: $(SITE)/.installed ## ask whether what the documents link to elsewhere is still there; gates nothing
	-@$(SPHINX) -b linkcheck build/docs/links

fmt: $(STAMP) ## format and sort imports
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove the environments and caches
	@rm -rf $(VENV) .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
