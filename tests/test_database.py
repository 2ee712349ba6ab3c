"""How a `DATABASE_URL` is read."""

from __future__ import annotations

import pytest

from montoit_db.database import engine_url, make_engine
from montoit_db.errors import SettingsError


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_spelling(scheme: str) -> None:
    url = engine_url(f"{scheme}://user:p%40ss@host:5433/db?sslmode=require")
    assert url.drivername == "postgresql+psycopg"
    assert (url.username, url.password, url.host, url.port, url.database) == ("user", "p@ss", "host", 5433, "db")
    assert url.query == {"sslmode": "require"}


@pytest.mark.parametrize(
    "address",
    [
        "canary",
        "mysql://u:canary@h/d",
        "sqlite:///canary",
        "postgresql://u:canary@h:port/d",
        "://canary",
        "postgresql://u:p@canary@h/d",
        "postgresql://h/d?autocommit=true&row_factory=canary",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL") as refusal:
        engine_url(address)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "pooled"),
    [
        ("postgres://u@h:5432/d", False),
        ("postgres://u@h:6543/d", True),
        ("postgres://u@h:5432/d?pgbouncer=true", True),
        ("postgres://u@h:5432/d?pgbouncer=false", False),
    ],
)
def test_a_transaction_pooler_gets_no_prepared_statements(address: str, pooled: bool) -> None:  # noqa: FBT001
    engine = make_engine(engine_url(address))
    _, options = engine.dialect.create_connect_args(engine.url)
    assert "pgbouncer" not in options, "libpq does not know it"
    assert ("prepare_threshold" in connect_arguments(engine)) is pooled


def test_parameters_are_hidden() -> None:
    """Secrets are no parameters anyway; this is for the day when somebody forgets."""
    assert make_engine(engine_url("postgres://u@h/d")).hide_parameters is True


def connect_arguments(engine: object) -> dict[str, object]:
    """Return what is handed to psycopg besides the URL."""
    from sqlalchemy import event  # noqa: PLC0415

    seen: dict[str, object] = {}

    class Stop(Exception):  # noqa: N818
        pass

    def look(_dialect: object, _record: object, _arguments: object, options: dict[str, object]) -> None:
        seen.update(options)
        raise Stop

    event.listen(engine, "do_connect", look)
    with pytest.raises(Stop):
        engine.connect()  # type: ignore[attr-defined]
    return seen
