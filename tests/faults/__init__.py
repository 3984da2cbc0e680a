# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that tries to break the promise of docs/docsite/rst/what_ok_is_worth.rst: real tasks and
real commands, one fault each.

    python -m tests.faults --help

catalogue: which faults there are, when they strike, and what must come of them
draw:      which fault, moment, shape and sink a run has, by its seed and number
commands:  what the run's source, middle and sink do, and whether the sink has got all
machine:   a batch of runs: started, hit, waited for
hold:      holds a program at one place
tasks:     runs that are tasks of one ansible-playbook
transfers: runs that are tasks of transfer, and their invariants; their files are in moves
typed:     runs that are command lines of socketpipe
judge:     the invariants
"""
