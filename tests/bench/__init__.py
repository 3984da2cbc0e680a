# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks: programs that print tables; never tests, for time on a shared machine proves nothing."""
