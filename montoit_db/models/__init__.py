"""The tables as SQLAlchemy 2 models, for Python callers and for `alembic check`."""

from montoit_db.models.api_key import ApiKey
from montoit_db.models.base import Base
from montoit_db.models.feature_flag import FeatureFlag, FeatureFlagHistory, FeatureFlagOverride
from montoit_db.models.service_log import PaymentLog, SmsLog, WhatsappLog

__all__ = [
    "ApiKey",
    "Base",
    "FeatureFlag",
    "FeatureFlagHistory",
    "FeatureFlagOverride",
    "PaymentLog",
    "SmsLog",
    "WhatsappLog",
]
