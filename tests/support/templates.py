"""Databases at a revision: made once, cloned for each test."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from montoit_db.database import make_engine
from tests.support.commands import run_alembic
from tests.support.database import Database
from tests.support.settings import PRODUCTION

if TYPE_CHECKING:
    from tests.support.servers import PostgresServer


class Templates:
    """Databases at a revision, made once and cloned for each test."""

    def __init__(self, server: PostgresServer) -> None:
        self._engine = make_engine(server.url).execution_options(isolation_level="AUTOCOMMIT")
        self._server = server
        self._numbers = itertools.count()
        self._made: dict[str, str] = {}

    def clone(self, revision: str) -> Database:
        """Return a new database at `revision` (`empty`, or one of ours; 0008 is activated in production)."""
        if revision not in self._made:
            database = self.create("template0")
            if revision != "empty":
                result = run_alembic(database, ["upgrade", revision], PRODUCTION)
                assert result.code == 0, result.err
            self._made[revision] = database.name
        return self.create(self._made[revision])

    def create(self, template: str, options: str = "") -> Database:
        name = f"montoit_test_{os.getpid()}_{next(self._numbers)}"
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f'create database {name} template "{template}" {options}')
        return Database(self._server.url.set(database=name))

    def drop(self, *names: str) -> None:
        with self._engine.connect() as connection:
            for name in names:
                connection.exec_driver_sql(f"drop database if exists {name} with (force)")

    def close(self) -> None:
        self.drop(*self._made.values())
