"""A URL becomes a connection: spellings, TLS, poolers, the embedded server."""

from montoit_db.database.connection import connect, connect_to, located, make_engine
from montoit_db.database.failures import MISSING_RIGHT, is_refusal, message
from montoit_db.database.session import beginning, bounded, path_of_others
from montoit_db.database.tls import VERIFIED, protection
from montoit_db.database.url import engine_url

__all__ = [
    "MISSING_RIGHT", "VERIFIED", "beginning", "bounded", "connect", "connect_to", "engine_url", "is_refusal", "located",
    "make_engine", "message", "path_of_others", "protection",
]  # fmt: skip
