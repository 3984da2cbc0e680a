# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers on standard input, --twice or --thrice."""

import sys

from factors import FACTORS

for line in sys.stdin:
    print(int(line) * FACTORS[sys.argv[1]])
