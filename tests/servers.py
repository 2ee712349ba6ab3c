"""A real PostgreSQL for the tests: the one that is named, else a container, else the embedded one."""

from __future__ import annotations

import gc
import os
import tempfile
import warnings
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from montoit_db import embedded
from montoit_db.database import engine_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

VARIABLE = "MONTOIT_TEST_DATABASE_URL"
IMAGE = "postgres:15"
# A test database is thrown away: it need not survive a power cut.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer(NamedTuple):
    """A server to create databases on, and how it was come by."""

    url: URL
    origin: str


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Lend the first server of the chain that is to be had."""
    named = os.environ.get(VARIABLE)
    if named:
        yield PostgresServer(engine_url(named), VARIABLE)
    elif _docker_answers():
        with _container() as url:
            yield PostgresServer(url, f"container {IMAGE}")
    else:
        with tempfile.TemporaryDirectory(prefix="montoit-test-", ignore_cleanup_errors=True) as directory:
            Path(directory).chmod(0o755)
            with embedded.server(Path(directory) / "postgresql", FAST) as server:
                yield PostgresServer(server.url(), "embedded")


def _docker_answers() -> bool:
    """Tell whether a Docker engine runs here; its client alone is no engine."""
    import docker  # noqa: PLC0415 -- half a second that the other servers do without
    from docker.errors import DockerException  # noqa: PLC0415

    with warnings.catch_warnings():
        # Where nobody answers, the client leaves its socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with closing(docker.from_env()) as client:
                answers = bool(client.ping())
        except DockerException:
            answers = False
        gc.collect()
    return answers


@contextmanager
def _container() -> Iterator[URL]:
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415

    with PostgresContainer(IMAGE).with_command(
        "postgres " + " ".join(f"-c {setting}" for setting in FAST)
    ) as container:
        yield engine_url(container.get_connection_url(driver=None))
