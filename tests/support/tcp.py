"""A server's socket, offered over TCP for programs that know no other way."""

from __future__ import annotations

import socket
import socketserver
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL


@contextmanager
def over_tcp(url: URL) -> Iterator[URL]:
    """Lend an address of the same database that has a host and a port, and speaks no TLS."""
    if url.host:
        yield url
        return
    path = f"{url.query['host']}/.s.PGSQL.{url.query.get('port', 5432)}"

    class Forward(socketserver.BaseRequestHandler):
        """Passes on what a client and the server say to each other."""

        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(path)
                back = Thread(target=_pass_on, args=(server, self.request))
                back.start()
                _pass_on(self.request, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward) as forwarder:
        thread = Thread(target=forwarder.serve_forever)
        thread.start()
        try:
            host, port = forwarder.server_address[:2]
            yield url.set(host=str(host), port=port, query={"sslmode": "disable"})
        finally:
            forwarder.shutdown()
            thread.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # one of the two has gone
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
