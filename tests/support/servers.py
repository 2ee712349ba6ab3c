"""A real PostgreSQL for the tests: the one that is named, else a container, else the embedded one."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import warnings
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from montoit_db.database import embedded, engine_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

VARIABLE = "MONTOIT_TEST_DATABASE_URL"
NAMED = os.environ.get(VARIABLE)  # while it is there: tests hide the developer's own variables
IMAGE = "postgres:15"
MEMORY = "/dev/shm"  # noqa: S108 -- what is in it gets names of its own
ROOM = 4 * 2**30  # bytes
# A test database is thrown away: it need not survive a power cut.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer(NamedTuple):
    """A server to create databases on, and where it comes from."""

    url: URL
    origin: str


def work_in_memory() -> None:
    """Put what tests write into memory, if there is room: to copy a database there takes a tenth of the time."""
    with suppress(OSError):
        if shutil.disk_usage(MEMORY).free > ROOM:
            os.environ["TMPDIR"] = tempfile.tempdir = MEMORY


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Lend the first of these servers that can be had.

    A Docker engine that cannot get the image counts as none; pytest's last lines then say so.
    """
    with ExitStack() as stack:
        if NAMED:
            yield PostgresServer(engine_url(NAMED), VARIABLE)
            return
        origin = "embedded"
        if docker_answers():
            from docker.errors import APIError  # noqa: PLC0415

            try:
                url = stack.enter_context(container(IMAGE))
            except APIError as error:
                origin = f"embedded, as Docker answers but has no {IMAGE}: {error.explanation}"
            else:
                yield PostgresServer(url, f"container {IMAGE}")
                return
        directory = stack.enter_context(TemporaryDirectory(prefix="montoit-test-", ignore_cleanup_errors=True))
        Path(directory).chmod(0o755)
        server = stack.enter_context(embedded.server(Path(directory) / "postgresql", FAST))
        yield PostgresServer(server.url(), origin)


def docker_answers() -> bool:
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
def container(image: str) -> Iterator[URL]:
    """Lend a PostgreSQL of this image."""
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

    with PostgresContainer(image).with_command(
        "postgres " + " ".join(f"-c {setting}" for setting in FAST)
    ) as container:
        yield engine_url(container.get_connection_url(driver=None))
