"""Databases that are made once, and cloned for each test."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from montoit_db.database import make_engine
from tests.support.commands import Alembic
from tests.support.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.servers import PostgresServer


class Templates:
    """Databases that are made once, and cloned for each test."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = Database(server.url)
        self._engine = make_engine(server.url).execution_options(isolation_level="AUTOCOMMIT")
        self._numbers = itertools.count()
        self._made: dict[object, str] = {}

    def clone(self, revision: str) -> Database:
        """Return a new database at `revision` (`empty`, or one of ours; 0008 is activated in production)."""

        def make(database: Database) -> None:
            if revision != "empty":
                Alembic(database).succeeds("upgrade", revision)

        return self.copy(revision, make)

    def copy(self, key: object, make: Callable[[Database], None], options: str = "") -> Database:
        """Return a new database that is as `make` made the first one of this key."""
        if key not in self._made:
            database = self.create("template0", options)
            try:
                make(database)
            except BaseException:  # a skipped test, too
                self.drop(database.name)
                raise
            self._made[key] = database.name
        return self.create(self._made[key], options)

    def create(self, template: str, options: str = "") -> Database:
        name = f"montoit_test_{os.getpid()}_{next(self._numbers)}"
        with self._engine.connect() as connection:
            # Copying files takes half the time of PostgreSQL's usual way, which writes all of them to its log.
            connection.exec_driver_sql(f'create database {name} template "{template}" strategy file_copy {options}')
        return Database(self.server.url.set(database=name))

    def drop(self, *names: str) -> None:
        with self._engine.connect() as connection:
            for name in names:
                connection.exec_driver_sql(f"drop database if exists {name} with (force)")

    def close(self) -> None:
        self.drop(*self._made.values())
