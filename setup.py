# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pyproject.toml cannot say of the command socketpipe: its manual page is made; all that is made is in .build."""

import os
import sys

from setuptools import setup

MADE = os.path.join(".build", "pip")
PAGE = os.path.join(MADE, "socketpipe.1")

sys.dont_write_bytecode = True
sys.path.insert(0, "plugins")

from module_utils._command import manual  # noqa: E402

os.makedirs(MADE, exist_ok=True)
with open(PAGE, "w", encoding="utf-8") as page:
    page.write(manual.page())

setup(
    data_files=[("share/man/man1", [PAGE])],
    options={"build": {"build_base": MADE}, "egg_info": {"egg_base": MADE}},
)
