"""Complete settings whose secrets are canaries: words that are found wherever they turn up."""

from __future__ import annotations

from montoit_db.intouch.catalogue import CREDENTIALS

SECRETS = {
    credential.variable: f"canary-{credential.key_name}-5d2f81"
    for credential in CREDENTIALS
    if credential.key_name != "base_url"
}
SANDBOX = {"INTOUCH_ENVIRONMENT": "sandbox", **SECRETS}
PRODUCTION = {"INTOUCH_ENVIRONMENT": "production", **SECRETS}
