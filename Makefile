# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# All logic of setting up, testing and showing the collection; CI only calls it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TREE   := .build/tree/ansible_collections/plumbing/socketpipe
VENVS  := .build/venvs
PYTEST := $(BIN)/python -m pytest
AGAIN  := -p tests.workshop.second_try
NICE := nice -n 10
WORKERS ?= 4
JOBS ?= 3
N ?= 360
SEED ?= 1

# where make install puts the command, and the Python in its first line: a name in PATH, or a path, which starts faster
PREFIX ?= /usr/local
INTERPRETER ?= python3

SHELL := /bin/bash -o pipefail
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.build/tree
export ANSIBLE_HOME := $(CURDIR)/.build/ansible
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE  # what is started some thousand times is compiled once

# The longest first. hit waits half of its time, and must not wait for a processor: beside it is what gives way to it.
FIRST  := system tape sanity tls recipes unit integration molecule edges
SECOND := hit nox galaxy package docs ee lint release-check
# make takes up a target whose prerequisites were not there only after all others: those of system come before
READY  := $(VENV)/test $(VENVS)/runner/made $(VENVS)/community/made $(TREE)

.PHONY: help demo socketpipe install uninstall deb test quick units faults mutants bench clean matrix core address pictures recording messages changelog release $(FIRST) $(SECOND)

help:   ## this list
	@sed -n 's/^\([a-z-]*\):.*## */\1\t/p' $(MAKEFILE_LIST) | expand -t 15

demo: $(VENV)/demo $(TREE)   ## back up three hosts to a virtual tape, restore a lost file, run the manual's three examples; on this machine, without root
	$(BIN)/python tests/demo/demo.py

quick: lint unit   ## for daily work: linters, types, and the tests that need no root; under two minutes

test:   ## everything, JOBS at a time, whatever fails; as root on Debian it first installs what is missing; at its end what failed, and the last line of system
	@$(PYTHON) -m tests.workshop.packages
	-@$(MAKE) --no-print-directory $(READY)
	@failed=; rm -f .build/test.log; for round in "$(FIRST)" "$(SECOND)"; do \
	  $(MAKE) --no-print-directory --jobs=$(JOBS) --keep-going --output-sync=target $$round 2>&1 | tee -a .build/test.log || failed=1; done; \
	  $(PYTHON) -m tests.workshop.packages --missing || failed=1; \
	  test -z "$$failed" || grep -E '^(FAILED|ERROR|E  |make.*\*\*\*) ' .build/test.log | tail -n 40; tail -n 1 .build/system.log; test -z "$$failed"

socketpipe:   ## the command as one file, .build/socketpipe, and its manual page
	mkdir -p .build
	PYTHONPATH=plugins $(PYTHON) -B -m module_utils._command.archive .build/socketpipe .build/socketpipe.1 $(INTERPRETER)

install: socketpipe   ## the command and its manual page in $(DESTDIR)$(PREFIX)/bin and share/man
	install -D -m 0755 .build/socketpipe "$(DESTDIR)$(PREFIX)/bin/socketpipe"
	install -D -m 0644 .build/socketpipe.1 "$(DESTDIR)$(PREFIX)/share/man/man1/socketpipe.1"

uninstall:   ## remove what make install has put there
	rm -f "$(DESTDIR)$(PREFIX)/bin/socketpipe" "$(DESTDIR)$(PREFIX)/share/man/man1/socketpipe.1"

deb:   ## the command as a Debian package, .build/deb/socketpipe_VERSION_all.deb
	@$(PYTHON) -m tests.workshop.deb

package: $(VENVS)/package/made   ## the wheel, the source distribution, make install and the Debian package, each installed and used
	@$(NICE) $(PYTHON) -m tests.workshop.package $(VENVS)/package

lint: $(VENV)/test $(TREE)   ## ruff, mypy, yamllint
	@$(NICE) sh -ec 'PATH="$(BIN):$$PATH"; ruff check .; ruff format --check .; mypy plugins tests extensions; yamllint --strict .'

unit: $(VENV)/test $(TREE)   ## tests that need no root, over loopback
	$(PYTEST) $(AGAIN) -n $(WORKERS) tests/unit

edges: $(VENV)/test $(TREE)   ## the pipe task with the oldest and the newest ansible-core that run here
	@$(BIN)/python -m tests.workshop.matrix --edges --workers $(WORKERS)

system: $(READY)   ## tasks over real ssh between network namespaces (needs root; else skipped by name)
	$(PYTEST) $(AGAIN) -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/hosts tests/system | tee .build/system.log

sanity:   ## ansible-test sanity on the oldest and the newest ansible-core that run here
	@$(PYTHON) -m tests.workshop.ansible_test sanity

units:   ## the unit tests again, as ansible-test runs them
	@$(PYTHON) -m tests.workshop.ansible_test units

integration:   ## the integration targets as ansible-test runs them
	@$(PYTHON) -m tests.workshop.ansible_test integration

core: $(VENV)/test $(TREE)   ## sanity, units, integration and the tests of pipe with one ansible-core: CORE=2.19, or devel (needs root; else parts are skipped)
	@test -n "$(CORE)" || { echo "which ansible-core? make core CORE=2.19" >&2; exit 1; }
	@$(PYTHON) -m tests.workshop.packages
	@for command in sanity units integration; do $(PYTHON) -m tests.workshop.ansible_test $$command --core $(CORE) || exit 1; done
	@$(BIN)/python -m tests.workshop.matrix --workers $(WORKERS) --core $(CORE)
	@$(PYTHON) -m tests.workshop.packages --missing

nox: $(VENVS)/nox/made $(TREE)   ## what the ecosystem checks: documentation, licences, unwanted files, the import by Galaxy, ansible-lint
	@$(NICE) $(VENVS)/nox/bin/nox -R --envdir .build/nox

galaxy:   ## the tarball: what is in it, and that it works where it is installed
	@$(NICE) $(PYTHON) -m tests.workshop.galaxy

pictures:   ## the SVG pictures of the documentation, from tests/workshop/pictures.py
	$(PYTHON) -m tests.workshop.pictures

recording: $(VENV)/demo $(TREE)   ## the recording of a terminal in README.md, from a real run on this machine
	$(BIN)/python -m tests.workshop.recording

messages:   ## the page of the documentation with every message of the tape modules, from their source
	$(PYTHON) -m tests.workshop.messages

docs: $(VENVS)/docs/made $(TREE)   ## build the documentation as a site: .build/docs/build/html/index.html
	@$(NICE) $(PYTHON) -m tests.workshop.docs $(VENVS)/docs

molecule: $(VENVS)/molecule/made $(TREE)   ## the three examples, and the roles tape and kernel_tls, on real hosts, verified by testinfra (needs root)
	@$(PYTHON) -m tests.workshop.molecule $(VENVS)/molecule

ee: galaxy $(VENVS)/ansible-builder/made   ## the build context of an execution environment, in .build/ee
	@$(NICE) $(PYTHON) -m tests.workshop.ee $(VENVS)/ansible-builder

changelog: $(VENVS)/changelog/made   ## CHANGELOG.md from changelogs/fragments
	$(PYTHON) -m tests.workshop.release changelog $(VENVS)/changelog

address:   ## the links that follow from repository in galaxy.yml
	$(PYTHON) -m tests.workshop.address

release-check: $(VENVS)/changelog/made   ## the version of galaxy.yml, the changelog and the documentation agree; what a release lacks
	@$(PYTHON) -m tests.workshop.release check $(VENVS)/changelog

release: $(VENVS)/changelog/made   ## turn the fragments into a release of galaxy.yml's version
	$(PYTHON) -m tests.workshop.release release $(VENVS)/changelog

tape: $(VENV)/test $(TREE)   ## the tape role on the kernel's own drivers, in a virtual machine (needs root; otherwise skipped by name)
	@$(PYTEST) $(AGAIN) -n 2 --dist loadfile tests/tape

tls: $(VENV)/test $(TREE)   ## links that the kernel encrypts, in a machine whose kernel can (needs root; else skipped by name)
	@$(PYTEST) $(AGAIN) -n 2 --dist loadfile tests/tls

recipes: $(VENV)/test $(VENVS)/community/made $(TREE)   ## the recipes of the documentation, with the real programs (needs root; else skipped by name)
	@$(PYTEST) $(AGAIN) -n 2 --dist loadfile tests/recipes

matrix: $(VENV)/test $(TREE)   ## every ansible-core and every target Python that is here; prints a table
	$(BIN)/python -m tests.workshop.matrix --workers $(WORKERS)

hit: $(VENV)/test $(TREE)   ## 360 pipes, 48 pipes with async, 192 command lines, 108 transfers and 96 pipelines with a fault each, and that those who look for trouble find it (needs root; else skipped by name)
	@$(PYTEST) $(AGAIN) -n 2 tests/faults

faults: $(VENV)/test $(TREE)   ## N runs with a fault each (SEED=1, resumable; OF=--command, --transfer, --pipeline, --async, --encrypted): the tables of docs/reliability.md (needs root)
	$(BIN)/python -m tests.faults --seed $(SEED) --runs $(N) $(OF)

mutants: $(VENV)/test $(TREE)   ## N small changes of the code (SEED=1), each with the unit tests that execute it: an hour or two, resumable (needs root)
	$(BIN)/python -m tests.workshop.mutants --count $(N) --seed $(SEED) $(OF)

bench: $(VENV)/test $(TREE)   ## the tables of docs/benchmarks.md (needs root and iperf3; nc, mbuffer, socat)
	$(BIN)/python -m tests.bench

clean:   ## remove what the other targets have made
	rm -rf .build $(VENV)

$(VENV)/demo: requirements/demo.txt
	@$(PYTHON) -m tests.workshop.packages --venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r $<
	@touch $@

$(VENV)/test: requirements/test.txt
	@$(PYTHON) -m tests.workshop.packages --venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r $<
	@touch $@

# a tool's own virtual environment, from requirements/TOOL.txt
$(VENVS)/%/made: requirements/%.txt
	$(NICE) $(PYTHON) -m tests.workshop.venvs $*

$(TREE):
	mkdir -p $(dir $(TREE))
	ln -sfn ../../../.. $@
