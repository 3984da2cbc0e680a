# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host has for encrypted links: shipped only with a preflight, which reports it."""

from .keys import CIPHERS
from .ktls_trial import trial
from .tls import missing, version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Capabilities


def capabilities() -> "Capabilities":
    can, problem = trial()
    return {
        "ciphers": [cipher.name for cipher in CIPHERS if cipher.bit & can],
        "no_kernel_tls": problem,
        "ssl": version(),
        "no_relay": missing(),
    }
