"""The guide's curl commands that try each service (source: the operators' guide)."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from montoit_db.intouch.state import InTouchState


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


def test_commands(state: InTouchState, supabase_url: str | None) -> str:
    """Return the guide's curl commands for the services that are on; empty if none is on."""
    on = {service.key for service in state.services if service.state in {"active", "partial"}}
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
