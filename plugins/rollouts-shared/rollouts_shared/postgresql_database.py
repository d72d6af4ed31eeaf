"""A PostgreSQL database by SQLAlchemy: connecting, tables, transactions, errors. Knows no requests and responses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError, SQLAlchemyError

from rollouts.exceptions import CacheError
from rollouts_shared import postgresql_tables as tables
from rollouts_shared.addresses import Address

T = TypeVar("T")

_CONNECTIONS = 4  # of one cache; a server takes a hundred, from all its clients
_UNDEFINED_TABLE = "42P01"
_NO_SUCH_REQUEST = "23503"  # a foreign key: the request was deleted with its last sample, or has got one meanwhile


class Database:
    """One database. Used by many threads at once; a fork begins anew."""

    def __init__(self, address: Address) -> None:
        """Use the database at `address`; connects when it is first used."""
        self.address = address
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._checked = False
        self.closed = False
        """True from `close` to the next use."""

    def close(self) -> None:
        """Close the connections; a later use opens them again."""
        self._forget_parent()
        with self._lock:
            engine, self._engine, self._checked, self.closed = self._engine, None, False, True
        if engine is not None:
            engine.dispose()

    def run(self, doing: str, work: Callable[[Connection], T], nothing: T) -> T:
        """What `work` gives, in one transaction; `nothing` where there are no tables to read."""
        try:
            return self._transaction(work, nothing, writing=doing == "written")
        except SQLAlchemyError as error:
            said = self.address.scrubbed(getattr(error, "orig", None) or error)
            if isinstance(error, ProgrammingError) and doing == "written":
                said += "; it needs the rights to CREATE, SELECT, INSERT and DELETE"
        # Raised out here, so that the driver's error, whose frames hold the URL, does not hang on it.
        raise CacheError(
            f"The database {self.address.shown} cannot be {doing}: {said}. See that it runs, and that the url in "
            "cache_options is right."
        )

    def _transaction(self, work: Callable[[Connection], T], nothing: T, *, writing: bool) -> T:
        for attempt in (1, 2):
            engine = self._connected()
            try:
                with engine.begin() as connection:
                    if not self._checked:
                        self._check(connection, writing=writing)
                    result = work(connection)
                self._checked = True
                return result
            except DBAPIError as error:
                state = getattr(error.orig, "sqlstate", None)
                no_table = state == _UNDEFINED_TABLE
                if no_table and not writing:
                    return nothing
                # The server was started anew, or somebody dropped the tables: once more, from the beginning.
                if attempt == 2 or not (error.connection_invalidated or no_table or state == _NO_SUCH_REQUEST):
                    raise
                self._checked = False
        raise AssertionError("unreachable")

    def _connected(self) -> Engine:
        self._forget_parent()
        with self._lock:
            if self._engine is None:
                url = "postgresql+psycopg://" + self.address.url.partition("://")[2]
                self._engine = create_engine(
                    url,
                    hide_parameters=True,  # answers do not belong in error messages
                    pool_size=_CONNECTIONS,
                    max_overflow=0,
                    pool_timeout=120,
                    connect_args={"connect_timeout": 10, "application_name": "rollouts", "prepare_threshold": None},
                )
                self.closed = False
            return self._engine

    def _check(self, connection: Connection, *, writing: bool) -> None:
        """Make the tables if we write and there are none, and refuse those of a later version."""
        if writing:
            connection.execute(text(tables.LOCK))
            if connection.execute(text("SELECT to_regclass('rollouts_format')")).scalar() is None:
                for statement in tables.SCHEMA:
                    connection.execute(text(statement))
        version = connection.execute(text(tables.READ_FORMAT)).scalar()
        if version is not None and version > tables.FORMAT:
            raise CacheError(
                f"The tables in {self.address.shown} were written by a later version of rollouts-shared (format "
                f"{version}, this one knows {tables.FORMAT}). Nothing was changed. Upgrade it, or use another database."
            )

    def _forget_parent(self) -> None:
        if self._pid != os.getpid():
            engine = self._engine
            self._begin()
            if engine is not None:
                engine.dispose(close=False)  # the connections are the parent's
