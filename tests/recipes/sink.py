# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server and a mail relay on loopback, which keep what they get: python sink.py FOLDER, a program of its own.

It writes its two ports to FOLDER/ports, each POST to FOLDER/http.NUMBER and each mail to FOLDER/smtp.NUMBER.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import os
import socketserver
import sys
import threading
from pathlib import Path

numbers = itertools.count(1)


def keep(folder: Path, kind: str, data: bytes) -> None:
    """Whole or not at all."""
    path = folder / f"{kind}.{next(numbers)}"
    part = folder / f".{path.name}"
    part.write_bytes(data)
    part.rename(path)


def servers(folder: Path) -> list[socketserver.TCPServer]:
    class Web(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            keep(folder, "http", json.dumps([self.headers["Content-Type"], body.decode()]).encode())
            self.send_response(204)
            self.end_headers()

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client may try TLS first
                self.talk()

        def talk(self) -> None:
            """RFC 5321, as far as a client needs it that sends one mail."""
            self.wfile.write(b"220 sink\r\n")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    keep(folder, "smtp", b"".join(iter(self.rfile.readline, b".\r\n")))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

    return [
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web),
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail),
    ]


def main() -> None:
    folder = Path(sys.argv[1])
    found = servers(folder)
    for server in found:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    part = folder / ".ports"
    part.write_text(json.dumps([server.server_address[1] for server in found]), encoding="ascii")
    part.rename(folder / "ports")
    sys.stdin.read()  # until who has started it is gone
    os._exit(0)


if __name__ == "__main__":
    main()
