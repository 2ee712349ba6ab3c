"""InTouch's state as operators see it: the guide's framed summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from montoit_db.display import framed, on_one_line, shortened
from montoit_db.intouch.catalogue import is_intouchs

if TYPE_CHECKING:
    from montoit_db.intouch.state import InTouchState, ServiceState


FUNCTIONS_HAVE_TO_ASK = """\
Voilà ce que dit la base. Les Edge Functions ne le savent que si elles le
lui demandent : docs/EDGE_FUNCTIONS.md."""


def summary(state: InTouchState, title: str = "RÉSULTAT DE L'ACTIVATION INTOUCH") -> str:
    """Return the guide's framed summary; if InTouch is operational, with what the database cannot know."""
    configured, expected, _store = state.credentials
    if configured == expected:
        credentials = "✅ Credentials InTouch : CONFIGURÉS"
    else:
        credentials = f"❌ Credentials InTouch : NON CONFIGURÉS ({configured}/{expected} actifs)"
    lines = [
        credentials,
        f"📊 Services activés : {state.active_services}/{len(state.services)}",
    ]
    if state.host is not None:
        lines.append(host_line(state.host))
    if state.environment == "sandbox":
        lines.append("🧪 SANDBOX : environnement de test")
    lines += ["", *map(_service_line, state.services), ""]
    note = ""
    if state.operational:
        note = f"\n{FUNCTIONS_HAVE_TO_ASK}"
        lines.append("🎉 INTÉGRATION INTOUCH COMPLÈTE ET OPÉRATIONNELLE !")
    elif state.active_services == 0:
        lines.append("❌ INTÉGRATION INTOUCH DÉSACTIVÉE")
    else:
        lines.append("❌ INTÉGRATION INTOUCH INCOMPLÈTE")
    return framed(title, lines) + note


def host_line(host: str) -> str:
    """Return where the credentials are sent to, with a warning if that is none of InTouch's hosts."""
    if is_intouchs(host):
        return f"🌐 API : {on_one_line(host)}"
    return f"⚠ API : {shortened(on_one_line(host), 28)}, pas un hôte d'InTouch"


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


def nothing_to_do(state: InTouchState, environment: str) -> str:
    """Return what `upgrade` says if every revision is applied; `environment` is that of the settings."""
    lines = [f"Rien à faire : la base est déjà à la révision {', '.join(state.revisions)}."]
    if state.environment not in {None, environment}:
        lines.append(
            f"InTouch y est en {state.environment}, et INTOUCH_ENVIRONMENT demande {environment} : pour changer, "
            "alembic downgrade -1, puis alembic upgrade head."
        )
    elif state.is_on and not state.operational:
        lines.append("InTouch n'est pas opérationnel pour autant. Voyez : montoit-db status")
    return "\n".join(lines)
