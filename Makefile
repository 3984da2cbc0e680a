# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# All logic of setting up, testing and showing the collection; CI only calls it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TREE   := .build/tree/ansible_collections/plumbing/socketpipe
VENVS  := .build/venvs
PYTEST := $(BIN)/python -m pytest
# most tests wait most of the time; what only computes gives way to them
NICE := nice -n 10
WORKERS ?= 4
JOBS ?= 3
N ?= 360
SEED ?= 1

SHELL := /bin/bash -o pipefail
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.build/tree
export ANSIBLE_HOME := $(CURDIR)/.build/ansible
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# ONCE: gone through once for each state of the files (as old as the file in GREEN is: from its beginning), for it only
# reads them, or repeats with other versions of ansible-core what system does.  The longest first; units are the tests of
# unit as well.
RUNNING := system integration units molecule
ONCE := sanity edges docs ee ansible-lint lint galaxy release-check reuse
GREEN := .build/green
FILES := $(wildcard $(shell git ls-files --cached --others --exclude-standard))
# a file that has gone, or a new one that is old
$(shell mkdir -p $(GREEN); echo "$(FILES)" | cmp -s - $(GREEN)/files || echo "$(FILES)" > $(GREEN)/files)

.PHONY: help demo socketpipe test unit hit faults bench clean matrix tape changelog release $(RUNNING) $(ONCE)

$(ONCE): %: $(GREEN)/%
$(ONCE:%=$(GREEN)/%): $(FILES) $(GREEN)/files

help:   ## this list
	@sed -n 's/^\($$(GREEN)\/\)*\([a-z-]*\):.*## */\2\t/p' $(MAKEFILE_LIST) | expand -t 15

demo: $(VENV)/demo $(TREE)   ## three hosts on a virtual tape, a lost file back, the manual's three examples; on this machine, without root
	$(BIN)/python tests/demo/demo.py

test:   ## everything, JOBS of them at a time, then hit; the last line is that of system
	$(MAKE) --no-print-directory --jobs=$(JOBS) --keep-going --output-sync=target $(RUNNING) $(ONCE)
	$(MAKE) --no-print-directory hit
	@tail -n 1 .build/system.log

socketpipe:   ## the command as one file, .build/socketpipe, and its manual page
	mkdir -p .build
	PYTHONPATH=plugins $(PYTHON) -B -m module_utils.archive .build/socketpipe .build/socketpipe.1

$(GREEN)/lint: $(VENV)/test | $(TREE)   ## ruff, mypy, yamllint
	@touch $@.began
	$(NICE) $(BIN)/ruff check .
	$(NICE) $(BIN)/ruff format --check .
	$(NICE) $(BIN)/mypy plugins tests extensions
	$(NICE) $(BIN)/mypy roles/tape/files/archiver
	$(NICE) $(BIN)/yamllint --strict .
	@mv $@.began $@

unit: $(VENV)/test $(TREE)   ## tests that need no root, over loopback
	$(PYTEST) -n $(WORKERS) tests/unit

$(GREEN)/edges: $(VENV)/test | $(TREE)   ## the pipe task with the oldest and the newest ansible-core that run here
	@touch $@.began
	$(BIN)/python -m tests.workshop.matrix --edges --workers $(WORKERS)
	@mv $@.began $@

system: $(VENV)/test $(VENVS)/runner/made $(TREE)   ## tasks over real ssh between network namespaces (needs root; else skipped by name)
	$(PYTEST) -n $(WORKERS) --dist loadfile tests/hosts tests/system | tee .build/system.log

$(GREEN)/sanity:   ## ansible-test sanity on the oldest and the newest ansible-core that run here
	@touch $@.began
	$(NICE) $(PYTHON) -m tests.workshop.ansible_test sanity
	@mv $@.began $@

units:   ## the unit tests as ansible-test runs them
	$(PYTHON) -m tests.workshop.ansible_test units

integration:   ## the integration targets as ansible-test runs them
	$(PYTHON) -m tests.workshop.ansible_test integration

$(GREEN)/ansible-lint: $(VENVS)/ansible-lint/made | $(TREE)   ## ansible-lint, profile production, nothing skipped
	@touch $@.began
	PATH="$(CURDIR)/$(VENVS)/ansible-lint/bin:$$PATH" $(NICE) ansible-lint
	@mv $@.began $@

$(GREEN)/galaxy: $(VENVS)/galaxy-importer/made   ## the tarball: what is in it, what galaxy-importer says, that it works where it is installed
	@touch $@.began
	$(NICE) $(PYTHON) -m tests.workshop.galaxy $(VENVS)/galaxy-importer
	@mv $@.began $@

$(GREEN)/docs: $(VENVS)/docs/made | $(TREE)   ## lint the documentation, and build it as a site: .build/docs/build/html/index.html
	@touch $@.began
	$(NICE) $(PYTHON) -m tests.workshop.docs $(VENVS)/docs
	@mv $@.began $@

molecule: $(VENVS)/molecule/made $(TREE)   ## the three examples, and the role tape, on real hosts, verified by testinfra (needs root)
	$(PYTHON) -m tests.workshop.molecule $(VENVS)/molecule

$(GREEN)/ee: $(GREEN)/galaxy $(VENVS)/ansible-builder/made   ## the build context of an execution environment, in .build/ee
	@touch $@.began
	$(NICE) $(PYTHON) -m tests.workshop.ee $(VENVS)/ansible-builder
	@mv $@.began $@

$(GREEN)/reuse: $(VENVS)/reuse/made   ## every file says its licence
	@touch $@.began
	$(VENVS)/reuse/bin/reuse lint --lines
	@mv $@.began $@

changelog: $(VENVS)/changelog/made   ## CHANGELOG.md from changelogs/fragments
	$(PYTHON) -m tests.workshop.release changelog $(VENVS)/changelog

$(GREEN)/release-check: $(VENVS)/changelog/made   ## the version of galaxy.yml, the changelog and the documentation agree
	@touch $@.began
	$(PYTHON) -m tests.workshop.release check $(VENVS)/changelog
	@mv $@.began $@

release: $(VENVS)/changelog/made   ## turn the fragments into a release of galaxy.yml's version
	$(PYTHON) -m tests.workshop.release release $(VENVS)/changelog

tape: $(VENV)/test $(TREE)   ## the tape role on the kernel's own drivers, in a machine of its own (needs root; else skipped by name)
	$(PYTEST) tests/tape

matrix: $(VENV)/test $(TREE)   ## every ansible-core and every target Python that is here; prints a table
	$(BIN)/python -m tests.workshop.matrix --workers $(WORKERS)

hit: $(VENV)/test $(TREE)   ## 360 tasks and 168 command lines with a fault each, and that those who look for trouble find it (needs root; else skipped by name)
	$(PYTEST) -n 2 tests/faults

faults: $(VENV)/test $(TREE)   ## N runs with a fault each (SEED=1, resumable; OF=--command): the tables of docs/reliability.md (needs root)
	$(BIN)/python -m tests.faults --seed $(SEED) --runs $(N) $(OF)

bench: $(VENV)/test $(TREE)   ## the tables of docs/benchmarks.md (needs root and iperf3; nc, mbuffer, socat)
	$(BIN)/python -m tests.bench

clean:   ## remove what the other targets have made
	rm -rf .build $(VENV)

$(VENV)/demo: requirements/demo.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r $<
	@touch $@

$(VENV)/test: requirements/test.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r $<
	@touch $@

# a tool's own virtual environment, from requirements/TOOL.txt
$(VENVS)/%/made: requirements/%.txt
	$(PYTHON) -m tests.workshop.venvs $*

$(TREE):
	mkdir -p $(dir $(TREE))
	ln -sfn ../../../.. $@
