# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that imports private C modules of Python.

The public modules take longer to load than all the rest of an end:
socket, signal and ctypes 10 of 40 ms, json 8, hmac and hashlib (which load
OpenSSL) half of Python's own start.  Every task would pay that on both hosts.
A Python without these modules uses the public ones.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    import struct
    from typing import Any
else:
    try:
        import _signal as signal
    except ImportError:
        import signal
    try:
        import _socket as socket
    except ImportError:
        import socket
    try:
        import _struct as struct
    except ImportError:
        import struct
try:
    from _operator import _compare_digest as compare_digest
except ImportError:
    from hmac import compare_digest  # type: ignore[no-redef]
try:
    import _json

    class Decoder:  # what the scanner asks of one
        strict, memo, object_hook, object_pairs_hook = True, {}, None, None  # type: ignore[var-annotated]
        parse_float, parse_int, parse_constant = float, int, float

    json_string = _json.encode_basestring_ascii
    json_value: "Any" = _json.make_scanner(Decoder)  # type: ignore[arg-type]
except ImportError:
    import json

    json_string, json_value = json.encoder.encode_basestring_ascii, json.JSONDecoder().scan_once  # type: ignore
try:
    import _ctypes

    class Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = Int

    c_library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    get_errno = _ctypes.get_errno

    def c_function(name: str) -> "Any":
        """A function of the C library that returns an int; its arguments are integers, bytes and None."""
        return Function(_ctypes.dlsym(c_library, name))

except (ImportError, AttributeError):
    from ctypes import CDLL, get_errno

    def c_function(name: str) -> "Any":
        return getattr(CDLL(None, use_errno=True), name)


def own_sha256() -> "Any":
    """The built-in SHA-256 of Python."""
    for name in ("_sha2", "_sha256"):  # since Python 3.12, and before
        try:
            return __import__(name).sha256
        except ImportError:
            continue
    import hashlib  # a Python built without them

    return hashlib.sha256


sha256 = own_sha256()

__all__ = ["c_function", "compare_digest", "get_errno", "json_string", "json_value", "sha256"]
__all__ += ["signal", "socket", "struct"]
