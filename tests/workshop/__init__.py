# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make` runs when a line of shell is not enough: Ansible's own tools, on the versions that we claim.

pythons  the interpreters of this machine          cores  the ansible-cores that run here, and where
venvs    a virtual environment for each tool       tree   a copy of the sources, as ansible-test wants it
programs runs what must succeed
ansible_test, galaxy, matrix, release              the programs: python -m tests.workshop.NAME
"""
