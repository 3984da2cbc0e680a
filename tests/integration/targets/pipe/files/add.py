# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sum of the numbers on standard input, --twice."""

import sys

print(sum(map(int, sys.stdin)) * (2 if sys.argv[1:] == ["--twice"] else 1))
