"""The seven services and the six credentials (source: the operators' guide, docs/GUIDE.fr.md), and the seven tables."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit


class Service(NamedTuple):
    """A feature flag that switches one InTouch service; `label` is the name that operators read."""

    key: str
    label: str


class Credential(NamedTuple):
    """One row of `api_keys`; `variable` is the environment variable that holds its value."""

    key_name: str
    variable: str


SERVICES = (
    Service("intouch_payment", "Paiements InTouch"),
    Service("orange_money", "Orange Money"),
    Service("mtn_money", "MTN Money"),
    Service("moov_money", "Moov Money"),
    Service("wave_payment", "Wave"),
    Service("sms_notifications", "SMS InTouch"),
    Service("whatsapp_notifications", "WhatsApp InTouch"),
)

CREDENTIALS = (
    Credential("base_url", "INTOUCH_BASE_URL"),
    Credential("username", "INTOUCH_USERNAME"),
    Credential("password", "INTOUCH_PASSWORD"),
    Credential("partner_id", "INTOUCH_PARTNER_ID"),
    Credential("login_api", "INTOUCH_LOGIN_API"),
    Credential("password_api", "INTOUCH_PASSWORD_API"),
)

TABLES = frozenset(
    {
        "api_keys",
        "feature_flag_history",
        "feature_flag_overrides",
        "feature_flags",
        "payment_logs",
        "sms_logs",
        "whatsapp_logs",
    }
)

# InTouch's words for the state of a payment, in capitals, as `payment_logs.status` has them; the database has the same
# list in montoit.intouch_status, and docs/EDGE_FUNCTIONS.md in TypeScript.
STATUSES = {
    "INITIATED": "pending",
    "PENDING": "pending",
    "PROCESSING": "processing",
    "SUCCESS": "success",
    "SUCCESSFUL": "success",
    "SUCCEED": "success",
    "FAILED": "failed",
    "NOTFOUND": "failed",
    "CANCELLED": "cancelled",
}

_INTOUCHS_HOST = re.compile(r"([a-z0-9-]+\.)*gutouch\.(net|com)")


def host_of(url: str) -> str:
    """Return the host of an address, `?` if it has none."""
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"


def is_intouchs(host: str) -> bool:
    """Tell whether a host is one of InTouch's: whoever has another one there gets the credentials."""
    return _INTOUCHS_HOST.fullmatch(host) is not None
