# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Links that the kernel encrypts, on a kernel that can: in the user-mode-linux machine of the tape tests.

Modules: machine (boots it, runs tests in it), pair (one encrypted connection) and between (somebody between two ends).
test_role: the role kernel_tls there, with modprobe as the modprobe of that machine.
test_machine runs test_traps, test_between, test_choice, test_command and test_destroyed in it, test_rules tests of
tests/unit a second time, encrypted. test_bare: where the kernel has no TLS.
"""
