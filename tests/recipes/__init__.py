# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipes of docs/docsite/rst/recipes.rst, run as they stand there with the real programs, and each broken.

Modules: page (reads them), site (hosts where they run). test_topologies runs the plays of the guide Topologies.
"""
