# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module of the program that this directory is."""

FACTORS = {"--twice": 2, "--thrice": 3}
