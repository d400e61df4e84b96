"""The SQLite file that a study lies in: waited for while somebody else holds it, and in one sentence when it cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from suite.errors import DataError, SuiteError
from suite.files import sqlite_uri
from suite.loggers import kept

DATABASE = "optuna.db"
LOCKED_SECONDS = 60.0  # SQLite's own patience; a copy or a backup of a study takes seconds
DAMAGE = ("not a database", "malformed", "no such table", "no such column", "I/O error", "file is encrypted")
REFUSED = ("unable to open", "readonly")


def open_database(folder: Path) -> RDBStorage:
    """Optuna's storage in ``folder``, made when it is not there.

    Every call of it raises SuiteError when the file stays locked, is damaged or may not be used.
    """
    file = folder / DATABASE

    def in_plain_words(context: Any) -> None:
        error = _explained(context.original_exception, file)
        if error is not None:
            raise error from None

    try:
        with kept():
            storage = RDBStorage(sqlite_uri(file), engine_kwargs={"connect_args": {"timeout": LOCKED_SECONDS}})
    except (SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError, AssertionError) as error:
        raise _explained(error, file) or DataError(_damaged(file, str(error))) from None
    event.listen(storage.engine, "handle_error", in_plain_words)
    return storage


def _explained(error: BaseException | None, file: Path) -> SuiteError | None:
    said = str(error).splitlines()[0] if str(error) else ""
    if "locked" in said:
        return SuiteError(
            f"{file}: another process has held it for {LOCKED_SECONDS:g} s; end that process or let it finish, then add --resume."
        )
    if any(sign in said for sign in REFUSED):
        return SuiteError(
            f"{file}: cannot be opened for writing ({said}); give this user the right to write it and its folder."
        )
    return DataError(_damaged(file, said)) if any(sign in said for sign in DAMAGE) else None


def _damaged(file: Path, said: str) -> str:
    first = said.splitlines()[0][:150] if said else "unreadable"
    return f"{file}: is not a study's database, or a damaged one ({first}); put a copy of it back, or rename the study to begin anew."
