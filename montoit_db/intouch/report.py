"""InTouch's state, read from the database, and what operators are shown of it."""

from __future__ import annotations

import os
import shlex
import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from montoit_db.intouch.catalogue import CREDENTIALS, SERVICES

if TYPE_CHECKING:
    from sqlalchemy import Connection

ACTIVATION = "0008"  # the revision that switches InTouch on
State = Literal["active", "partial", "not_configured", "inactive", "missing"]

WIDTH = 60  # columns between the frame's sides, as in the guide
EVERYONE = 100  # percent


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service as its feature flag has it.

    `state` is active (everyone), partial (`rollout_percentage` percent of users), not_configured (on, but
    without credentials of its environment, so served to nobody), inactive, or missing (there is no flag).
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
class Report:
    """InTouch as the database has it; `environment` is None where no credential is active."""

    revision: str | None
    environment: str | None
    credentials: CredentialsState
    services: tuple[ServiceState, ...]

    @property
    def active_services(self) -> int:
        """Count the services that are on."""
        return sum(service.state in {"active", "partial"} for service in self.services)

    @property
    def operational(self) -> bool:
        """Whether all credentials of one environment are active and all services are on with them."""
        return self.credentials.configured == self.credentials.expected and self.active_services == len(self.services)


# Tables that are not there yet, or not yet ours, hold nothing. A role that may not see every row gets an error
# instead of an answer that looks like "nothing there".
_OURS = """
select
    set_config('row_security', 'off', true),
    to_regclass('public.alembic_version') is not null,
    exists (select from pg_attribute where attrelid = to_regclass('public.api_keys') and attname = 'secret_id'),
    to_regclass('montoit.feature_flag_seed') is not null
"""
_CREDENTIALS = """
select environment, count(*), count(secret_id)
from public.api_keys
where service_name = 'intouch' and is_active and key_name = any(%(names)s)
  and (key_value <> '' or secret_id is not null)
group by environment
"""
_SERVICES = """
select key, is_enabled, credentials_status, rollout_percentage
from public.feature_flags
where key = any(%(keys)s)
"""


def read(connection: Connection) -> Report:
    """Read the state from the database; works at any revision, on an empty database too."""
    _, has_revision, has_credentials, has_flags = connection.exec_driver_sql(_OURS).one()
    revision = None
    if has_revision:
        revision = connection.exec_driver_sql("select version_num from public.alembic_version").scalar()
    by_environment = {}
    if has_credentials:
        names = [credential.key_name for credential in CREDENTIALS]
        rows = connection.exec_driver_sql(_CREDENTIALS, {"names": names})
        by_environment = {row[0]: (row[1], row[2]) for row in rows}
    flags = {}
    if has_flags:
        rows = connection.exec_driver_sql(_SERVICES, {"keys": [service.key for service in SERVICES]})
        flags = {row[0]: row[1:] for row in rows}

    # Two active environments are one too many: callers would not know which credentials they get.
    environment = next(iter(by_environment)) if len(by_environment) == 1 else None
    configured, in_vault = by_environment[environment] if environment else (0, 0)
    store = None if not configured else "vault" if in_vault == configured else "table"
    return Report(
        revision=revision,
        environment=environment,
        credentials=CredentialsState(configured, len(CREDENTIALS), store),
        services=tuple(
            _service_state(service.key, service.label, flags.get(service.key), environment) for service in SERVICES
        ),
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
    else:
        state = "active" if share == EVERYONE else "partial"
    return ServiceState(key, label, is_enabled, status, share, state)


def summary(report: Report, title: str = "RÉSULTAT DE L'ACTIVATION INTOUCH") -> str:
    """Return the guide's framed summary."""
    configured, expected, _store = report.credentials
    if configured == expected:
        credentials = "✅ Credentials InTouch : CONFIGURÉS"
    else:
        credentials = f"❌ Credentials InTouch : NON CONFIGURÉS ({configured}/{expected} actifs)"
    lines = [
        credentials,
        f"📊 Services activés : {report.active_services}/{len(report.services)}",
    ]
    if report.environment == "sandbox":
        lines.append("🧪 SANDBOX : environnement de test")
    lines += ["", *map(_service_line, report.services), ""]
    if report.operational:
        lines.append("🎉 INTÉGRATION INTOUCH COMPLÈTE ET OPÉRATIONNELLE !")
    elif report.active_services == 0:
        lines.append("❌ INTÉGRATION INTOUCH DÉSACTIVÉE")
    else:
        lines.append("❌ INTÉGRATION INTOUCH INCOMPLÈTE")
    return "\n".join(
        [
            f"╔{'═' * WIDTH}╗",
            _framed(title.center(WIDTH - 2)),
            f"╠{'═' * WIDTH}╣",
            *map(_framed, lines),
            f"╚{'═' * WIDTH}╝",
        ]
    )


def _service_line(service: ServiceState) -> str:
    match service.state:
        case "active":
            return f"✅ {service.label} : ACTIF"
        case "partial":
            return f"✅ {service.label} : ACTIF ({service.rollout_percentage} % des utilisateurs)"
        case "not_configured":
            return f"❌ {service.label} : SANS CREDENTIALS"
        case "inactive":
            return f"❌ {service.label} : INACTIF"
        case "missing":
            return f"❌ {service.label} : ABSENT"


def _framed(line: str) -> str:
    return f"║ {line}{' ' * (WIDTH - 2 - _columns(line))} ║"


def _columns(text: str) -> int:
    """Return how many terminal columns `text` takes: an emoji takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


class _Test(NamedTuple):
    key: str
    title: str
    function: str
    body: str


_TESTS = (
    _Test(
        "orange_money",
        "Test 1 : Paiement Orange Money",
        "intouch-payment-initiate",
        """{
    "amount": 1000,
    "phoneNumber": "0707070707",
    "provider": "orange_money",
    "description": "Test paiement Orange Money"
  }""",
    ),
    _Test(
        "sms_notifications",
        "Test 2 : SMS",
        "send-sms-intouch",
        """{
    "phoneNumber": "0707070707",
    "message": "Test SMS depuis Mon Toit"
  }""",
    ),
    _Test(
        "whatsapp_notifications",
        "Test 3 : WhatsApp",
        "send-whatsapp",
        """{
    "phoneNumber": "0707070707",
    "message": "Test WhatsApp depuis Mon Toit"
  }""",
    ),
)


def test_commands(report: Report, supabase_url: str | None) -> str:
    """Return the guide's curl commands for the services that are on; empty where none is."""
    on = {service.key for service in report.services if service.state in {"active", "partial"}}
    project = supabase_url or "https://YOUR_PROJECT.supabase.co"
    commands = [
        f"""# {test.title}
curl -X POST \\
  {shlex.quote(f"{project}/functions/v1/{test.function}")} \\
  -H "Authorization: Bearer YOUR_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{test.body}'
"""
        for test in _TESTS
        if test.key in on
    ]
    return "\n".join(["🧪 COMMANDES DE TEST", "", *commands]) if commands else ""


def nothing_to_do(report: Report, environment: str) -> str:
    """Return what `upgrade` says where every revision is applied; `environment` is the one asked for."""
    lines = [f"Rien à faire : la base est déjà à la révision {report.revision}."]
    if report.environment not in {None, environment}:
        lines.append(
            f"InTouch y est en {report.environment}, et INTOUCH_ENVIRONMENT demande {environment} : pour changer, "
            "alembic downgrade -1, puis alembic upgrade head."
        )
    elif report.revision == ACTIVATION and not report.operational:
        lines.append("InTouch n'est pas opérationnel pour autant. Voyez : montoit-db status")
    return "\n".join(lines)


def tell(text: str, *, error: bool = False) -> None:
    """Print for a person; a terminal that cannot show it gets plain text, and one that is gone gets nothing.

    A deployment is over by then: what cannot be printed must not make it look failed.
    """
    name = "stderr" if error else "stdout"
    stream = getattr(sys, name)
    if stream is None:  # closed by whoever started us
        return
    try:
        encoding = stream.encoding or "utf-8"  # none: a string buffer
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = plain(text)
        print(text, file=stream, flush=True)
    except (OSError, ValueError):
        # Python would fail once more when it flushes the stream at exit.
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


_PLAIN = str.maketrans(
    {
        "✅": "[OK]", "⚠": "[!]", "❌": "[--]", "📊": "[i]", "🧪": "[TEST]", "🎉": "[OK]",
        "╔": "+", "╗": "+", "╚": "+", "╝": "+", "╠": "+", "╣": "+", "═": "-", "║": "|",
        "█": "#", "▓": "x", "░": ".", "─": "-", "→": "->", "\N{EN DASH}": "-", "•": "*", "…": "...",
    }
)  # fmt: skip


def plain(text: str) -> str:
    """Return `text` in ASCII; a frame keeps its sides straight."""
    lines = []
    for line in text.splitlines():
        ascii_line = unicodedata.normalize("NFKD", line.translate(_PLAIN)).encode("ascii", "ignore").decode("ascii")
        if ascii_line.startswith("| "):
            ascii_line = f"| {ascii_line[2:-1].rstrip():<{WIDTH - 2}} |"
        lines.append(ascii_line)
    return "\n".join(lines)
