"""InTouch's state, read from the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from montoit_db.intouch.catalogue import CREDENTIALS, SERVICES, host_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

State = Literal["active", "partial", "paused", "not_configured", "inactive", "missing"]

EVERYONE = 100  # percent


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service, according to its feature flag.

    `state` is active (everyone), partial (`rollout_percentage` percent of users), paused (on for 0 percent, so for
    nobody), not_configured (on, but without credentials of its environment, so served to nobody), inactive, or missing
    (there is no flag).
    """

    key: str
    label: str
    is_enabled: bool
    credentials_status: str | None
    rollout_percentage: int | None
    state: State


class CredentialsState(NamedTuple):
    """How many credentials are active, of how many, and where their values are (`table`, `vault` or None)."""

    configured: int
    expected: int
    store: str | None


@dataclass(frozen=True, slots=True)
class InTouchState:
    """InTouch, according to the database.

    `revisions` are the rows of `montoit.alembic_version`. `environment` is None if no credential is active, or if both
    environments have active ones. `stored_credentials` counts the values of one environment, active or not; of that
    which has more of them. `has_foreign_flags`: the platform's feature_flags is there, and not adopted yet.
    `host` is that of InTouch's API, by the endpoint of the active credentials.
    """

    revisions: tuple[str, ...]
    environment: str | None
    credentials: CredentialsState
    services: tuple[ServiceState, ...]
    has_active_credentials: bool = False
    stored_credentials: int = 0
    has_foreign_flags: bool = False
    host: str | None = None

    @property
    def active_services(self) -> int:
        """Count the services that serve somebody."""
        return self._count("active", "partial")

    @property
    def paused_services(self) -> int:
        """Count the services that are on for 0 percent of the users: for nobody."""
        return self._count("paused")

    @property
    def is_complete(self) -> bool:
        """Whether all services are on with all credentials of one environment, whatever their shares."""
        return self.credentials.configured == self.credentials.expected and self._count(
            "active", "partial", "paused"
        ) == len(self.services)

    @property
    def served_environment(self) -> str | None:
        """The environment of the active credentials; if it is not one, that which all services that are on name."""
        named = {service.credentials_status for service in self.services if service.is_enabled} - {"not_configured"}
        return self.environment or (named.pop() if len(named) == 1 else None)

    def contradiction(self, ordered: str) -> str | None:
        """Return what to say if InTouch is on in another environment than the ordered one; None if it is not."""
        served = self.served_environment
        if served in {None, ordered} or not any(service.is_enabled for service in self.services):
            return None
        return (
            f"InTouch est en {served}, et INTOUCH_ENVIRONMENT demande {ordered}. Pour changer d'environnement : "
            f"alembic downgrade -1, puis : alembic upgrade head. Pour rester en {served}, corrigez INTOUCH_ENVIRONMENT."
        )

    @property
    def next_command(self) -> str | None:
        """The command that makes InTouch operational; None if it is. A person says which share ends a pause."""
        enabled = [service for service in self.services if service.is_enabled]
        if self.operational:
            return None
        if not enabled:
            return "alembic upgrade head"
        if len(enabled) < len(self.services) or {s.credentials_status for s in enabled} != {self.served_environment}:
            return "alembic upgrade intouch@head"
        if not self.is_complete:
            return "montoit-db rotate"
        if self.paused_services == len(self.services):
            return "montoit-db rollout <part>"
        flags = [f"--flag {service.key}" for service in self.services if service.state == "paused"]
        return " ".join(["montoit-db rollout <part>", *flags])

    @property
    def is_on(self) -> bool:
        """Whether a rollback has anything to do: a service that is on, or a credential that is active."""
        return self.has_active_credentials or any(service.is_enabled for service in self.services)

    @property
    def operational(self) -> bool:
        """Whether all credentials of one environment are active and all services serve somebody with them."""
        return self.is_complete and not self.paused_services

    def _count(self, *states: State) -> int:
        return sum(service.state in states for service in self.services)


# A table that is missing, or not adopted yet, counts as empty. With row_security off, a role that may not see every row
# gets an error instead of an answer that looks like "nothing there".
_TABLES = """
select
    set_config('row_security', 'off', true),
    to_regclass('montoit.alembic_version') is not null,
    exists (select from pg_attribute where attrelid = to_regclass('public.api_keys') and attname = 'secret_id'),
    to_regclass('montoit.feature_flag_seed') is not null,
    to_regclass('public.feature_flags') is not null
"""
_CREDENTIALS = """
select environment, count(*) filter (where is_active), count(secret_id) filter (where is_active), count(*),
    max(endpoint) filter (where is_active)
from public.api_keys
where service_name = 'intouch' and key_name = any(%(names)s)
  and (key_value <> '' or secret_id is not null)
group by environment
"""
_SERVICES = """
select key, is_enabled, credentials_status, rollout_percentage
from public.feature_flags
where key = any(%(keys)s)
"""


def read(connection: Connection) -> InTouchState:
    """Read the state from the database; works at any revision, on an empty database too."""
    _, has_revisions, has_credentials, has_flags, has_table = connection.exec_driver_sql(_TABLES).one()
    revisions: tuple[str, ...] = ()
    if has_revisions:
        rows = connection.exec_driver_sql("select version_num from montoit.alembic_version order by 1")
        revisions = tuple(rows.scalars())
    by_environment: dict[str, tuple[int, int, str | None]] = {}
    stored = 0
    if has_credentials:
        names = [credential.key_name for credential in CREDENTIALS]
        counts = connection.exec_driver_sql(_CREDENTIALS, {"names": names}).all()
        by_environment = {row[0]: (row[1], row[2], row[4]) for row in counts if row[1]}
        stored = max((row[3] for row in counts), default=0)
    flags = {}
    if has_flags:
        rows = connection.exec_driver_sql(_SERVICES, {"keys": [service.key for service in SERVICES]})
        flags = {row[0]: row[1:] for row in rows}

    # With two active environments callers would not know which credentials they get.
    environment = next(iter(by_environment)) if len(by_environment) == 1 else None
    configured, in_vault, endpoint = by_environment[environment] if environment else (0, 0, None)
    store = None if not configured else "vault" if in_vault == configured else "table"
    return InTouchState(
        revisions=revisions,
        environment=environment,
        credentials=CredentialsState(configured, len(CREDENTIALS), store),
        services=tuple(
            _service_state(service.key, service.label, flags.get(service.key), environment) for service in SERVICES
        ),
        has_active_credentials=bool(by_environment),
        stored_credentials=stored,
        has_foreign_flags=has_table and not has_flags,
        host=host_of(endpoint) if endpoint else None,
    )


def _service_state(key: str, label: str, flag: tuple[bool, str, int] | None, environment: str | None) -> ServiceState:
    if flag is None:
        return ServiceState(key, label, False, None, None, "missing")  # noqa: FBT003
    is_enabled, status, share = flag
    state: State
    if not is_enabled:
        state = "inactive"
    elif environment is None or status != environment:
        state = "not_configured"
    elif not share:
        state = "paused"
    else:
        state = "active" if share == EVERYONE else "partial"
    return ServiceState(key, label, is_enabled, status, share, state)
