"""The seven services and the six credentials (source: the operators' guide, docs/GUIDE.fr.md), and the seven tables."""

from __future__ import annotations

from typing import NamedTuple


class Service(NamedTuple):
    """A feature flag that switches one InTouch service; `label` is the name that operators read.

    `payment_method` is what `payment_logs` calls the payments that only this flag lets through.
    """

    key: str
    label: str
    payment_method: str | None = None


class Credential(NamedTuple):
    """One row of `api_keys`; `variable` is the environment variable that holds its value."""

    key_name: str
    variable: str


SERVICES = (
    Service("intouch_payment", "Paiements InTouch"),
    Service("orange_money", "Orange Money", "orange_money"),
    Service("mtn_money", "MTN Money", "mtn_money"),
    Service("moov_money", "Moov Money", "moov_money"),
    Service("wave_payment", "Wave", "wave"),
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
