# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
DOCUMENTATION = r"""
module: pipe
short_description: x
description: [x]
"""
