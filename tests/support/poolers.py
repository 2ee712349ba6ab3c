"""A real PgBouncer before the test server."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

import pytest

from tests.support.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers import PostgresServer

USER = "montoit"
# All that is awkward in an address.
PASSWORD = """%@:/$# ?&'"é+%41"""


class Pooler(NamedTuple):
    """A running PgBouncer: `directory` has its socket, and its certificate where it speaks TLS."""

    directory: Path
    port: int

    def on_socket(self, database: Database) -> Database:
        """Reach `database` through the pooler's socket, where everybody is let in."""
        query = {"host": str(self.directory), "port": str(self.port)}
        return Database(database.url.set(host=None, port=None, username="postgres", password=None, query=query))

    def address(self, database: Database, host: str, password: str = PASSWORD, query: str = "") -> str:
        """Return the address of `database` over TCP, as an operator writes it."""
        return f"postgres://{USER}:{quote(password, safe='')}@{host}:{self.port}/{database.name}{query}"


@contextmanager
def pgbouncer(
    server: PostgresServer,
    mode: Literal["transaction", "session"],
    *,
    tcp: bool = False,
    take_turns: bool = False,
    pool: int = 6,
) -> Iterator[Pooler]:
    """Start PgBouncer with `pool` connections; over TCP it asks for the password, and offers TLS.

    It lends the connection that was given back last, or, to `take_turns`, the one that was given back first.
    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("PgBouncer is not installed: apt-get install pgbouncer")
    url = server.url
    with TemporaryDirectory(prefix="montoit-pgbouncer-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        host = url.host or url.query["host"]
        port = _free_port() if tcp else 6543
        password = f"password={url.password}" if url.password else ""
        escaped = PASSWORD.replace('"', '""')
        (directory / "users").write_text(f'"postgres" ""\n"{USER}" "{escaped}"\n', encoding="utf-8")
        lines = [
            "[databases]",
            f"* = host={host} port={url.port or url.query.get('port', 5432)} user={url.username} {password}",
            "[pgbouncer]",
            f"listen_port = {port}",
            f"unix_socket_dir = {name}",
            "unix_socket_mode = 0777",
            f"auth_file = {name}/users",
            f"pool_mode = {mode}",
            f"default_pool_size = {pool}",
            "max_client_conn = 200",
            f"server_round_robin = {int(take_turns)}",
            f"logfile = {name}/log",
            f"auth_type = {'scram-sha-256' if tcp else 'any'}",
        ]
        if tcp:
            _make_certificate(directory)
            lines += [
                "listen_addr = 127.0.0.1, ::1",
                "client_tls_sslmode = allow",
                f"client_tls_key_file = {name}/key.pem",
                f"client_tls_cert_file = {name}/certificate.pem",
            ]
        (directory / "pgbouncer.ini").write_text("\n".join(lines), encoding="utf-8")
        process = subprocess.Popen([program, "-q", f"{name}/pgbouncer.ini"], **_owner(str(host)))
        try:
            _wait_for(directory / f".s.PGSQL.{port}", process)
            yield Pooler(directory, port)
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_certificate(directory: Path) -> None:
    subprocess.run(
        ["/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,DNS:db.example,IP:127.0.0.1,IP:::1",
         "-keyout", f"{directory}/key.pem", "-out", f"{directory}/certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    for name in ("key.pem", "certificate.pem"):
        (directory / name).chmod(0o644)


def _owner(host: str) -> dict[str, Any]:
    """Run as whoever may reach the server's socket: PgBouncer refuses to be root."""
    if os.geteuid() != 0:
        return {}
    path = Path(host)
    if path.is_dir() and path.stat().st_uid != 0:
        return {"user": pwd.getpwuid(path.stat().st_uid).pw_name}
    return {"user": "nobody"}


def _wait_for(path: Path, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert process.poll() is None, "PgBouncer did not start"
        assert time.monotonic() < deadline
        time.sleep(0.02)
