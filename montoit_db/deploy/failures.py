"""How a failed `alembic` command ends: one message, no traceback, a status other than 0."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from montoit_db.database import message
from montoit_db.display import harmless
from montoit_db.errors import MontoitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config


@contextmanager
def explained(config: Config) -> Iterator[None]:
    """End the `alembic` command with one message on stderr and status 1, without a traceback.

    SIGTERM ends it as Ctrl-C does, also as the first process of a container, which would ignore SIGTERM otherwise.
    Callers of Alembic's Python functions, and `alembic --raiseerr`, get a `MontoitError` instead.
    """
    is_command = config.cmd_opts is not None and threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_command else None
    try:
        yield
    except (MontoitError, DBAPIError, psycopg.Error) as error:
        explanation = error if isinstance(error, MontoitError) else MontoitError(message(error))
        if config.cmd_opts is None or config.cmd_opts.raiseerr:
            raise explanation from None
        print(harmless(str(explanation)), file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except CommandError as error:  # Alembic prints it, and it may quote a revision that the database named
        if str(error) == harmless(str(error)):
            raise
        raise CommandError(harmless(str(error))) from None
    except KeyboardInterrupt:
        print(  # noqa: T201
            "Interrompu : une révision qui n'était pas finie est annulée, les autres restent. "
            "Voyez : montoit-db status",
            file=sys.stderr,
        )
        sys.exit(130)
    finally:
        if is_command:
            signal.signal(signal.SIGTERM, former)
