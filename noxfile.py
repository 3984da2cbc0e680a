# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks that the ecosystem's own tool does: ``nox --list``. What they are is in antsibull-nox.toml."""

import antsibull_nox

antsibull_nox.load_antsibull_nox_toml()
