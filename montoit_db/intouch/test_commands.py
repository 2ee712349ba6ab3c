"""The guide's curl commands that try each service (source: the operators' guide)."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from montoit_db.intouch.state import InTouchState


class Functions(NamedTuple):
    """The Edge Functions that the commands call; by default those that the guide names."""

    payment: str = "intouch-payment-initiate"
    sms: str = "send-sms-intouch"
    whatsapp: str = "send-whatsapp"


# The first digits of a number say whose it is; a wallet of Wave can be on any.
_OPERATORS = {
    "orange_money": ("Orange Money", "0707070707"),
    "mtn_money": ("MTN Money", "0505050505"),
    "moov_money": ("Moov Money", "0101010101"),
    "wave_payment": ("Wave", "0707070707"),
}
_WARNING = """\
# ⚠ Si la fonction de paiement appelle cashin, comme celle de la plateforme,
#   InTouch VERSE le montant au numéro, depuis votre compte partenaire :
#   mettez un numéro à vous.
"""


def test_commands(state: InTouchState, supabase_url: str | None, functions: Functions) -> str:
    """Return a curl command for each service that is on, an operator each; empty if none is on."""
    on = {service.key for service in state.services if service.state in {"active", "partial"}}
    tests: list[tuple[str, str, dict[str, object]]] = [
        (
            f"Paiement {name}",
            functions.payment,
            {
                "amount": 1000,
                "phoneNumber": number,
                "provider": key.removesuffix("_payment"),
                "description": f"Test paiement {name}",
            },
        )
        for key, (name, number) in _OPERATORS.items()
        if key in on
    ]
    warning = [_WARNING] if tests else []
    for key, title, function in (
        ("sms_notifications", "SMS", functions.sms),
        ("whatsapp_notifications", "WhatsApp", functions.whatsapp),
    ):
        if key in on:
            message: dict[str, object] = {"phoneNumber": "0707070707", "message": f"Test {title} depuis Mon Toit"}
            tests.append((title, function, message))
    if not tests:
        return ""
    project = supabase_url or "https://YOUR_PROJECT.supabase.co"
    commands = [
        f"""# Test {number} : {title}
curl -X POST \\
  {shlex.quote(f"{project}/functions/v1/{function}")} \\
  -H "Authorization: Bearer YOUR_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d {shlex.quote(json.dumps(body, ensure_ascii=False, indent=2).replace(chr(10), chr(10) + "  "))}
"""
        for number, (title, function, body) in enumerate(tests, 1)
    ]
    return "\n".join(["🧪 COMMANDES DE TEST", "", *warning, *commands])
