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
FUNCTIONS_MAY_GO_ON = """\
Là où la base dit non, une Edge Function qui ne le lui demande pas envoie
encore : docs/EDGE_FUNCTIONS.md."""


def summary(state: InTouchState, title: str | None = None) -> str:
    """Return the guide's framed summary, under the guide's title unless InTouch is off.

    What the database cannot know follows: whether the Edge Functions ask it.
    """
    if title is None:
        title = "RÉSULTAT DE L'ACTIVATION INTOUCH" if state.is_on else "ÉTAT DE L'INTÉGRATION INTOUCH"
    configured, expected, _store = state.credentials
    if configured == expected:
        credentials = "✅ Credentials InTouch : CONFIGURÉS"
    elif state.stored_credentials and not state.has_active_credentials:
        credentials = f"❌ Credentials InTouch : DÉSACTIVÉS ({state.stored_credentials}/{expected} valeurs gardées)"
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
    note = FUNCTIONS_HAVE_TO_ASK if state.operational else FUNCTIONS_MAY_GO_ON
    if state.operational:
        lines.append("🎉 INTÉGRATION INTOUCH COMPLÈTE ET OPÉRATIONNELLE !")
    elif state.is_complete:
        lines.append(f"❌ INTÉGRATION INTOUCH EN PAUSE ({state.paused_services}/{len(state.services)} services)")
    elif not any(service.is_enabled for service in state.services):
        lines.append("❌ INTÉGRATION INTOUCH DÉSACTIVÉE")
    else:
        lines.append("❌ INTÉGRATION INTOUCH INCOMPLÈTE")
    return f"{framed(title, lines)}\n{note}"


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
        case "paused":
            return f"❌ {service.label} : EN PAUSE (0 % : personne)"
        case "not_configured":
            return f"❌ {service.label} : SANS CREDENTIALS"
        case "inactive":
            return f"❌ {service.label} : INACTIF"
        case "missing":
            return f"❌ {service.label} : ABSENT"


def what_next(state: InTouchState) -> str:
    """Return the line with the command that makes InTouch operational; empty if it is."""
    command = state.next_command
    return "" if command is None else f"Pour le rendre opérationnel : {command}"


def nothing_to_do(state: InTouchState) -> str:
    """Return what `upgrade` says if every revision is applied."""
    lines = [f"Rien à faire : la base est déjà à la révision {', '.join(state.revisions)}."]
    if state.is_on and not state.operational:
        lines += ["InTouch n'est pas opérationnel pour autant. Voyez : montoit-db status", what_next(state)]
    return "\n".join(lines)
