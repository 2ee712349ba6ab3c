"""Credentials of the services that the platform calls."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from montoit_db.models.base import Base, BoolTrue, CreatedAt, JsonObject, UuidPk, one_of


class ApiKey(Base):
    """One credential of one service in one environment."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(one_of("environment", "sandbox", "production"), name="environment"),
        CheckConstraint("key_value is null or secret_id is null", name="one_store"),
        UniqueConstraint("service_name", "key_name", "environment"),
        {"comment": "Credentials of the services that the platform calls. For the service role alone."},
    )

    id: Mapped[UuidPk]
    service_name: Mapped[str]
    key_name: Mapped[str]
    key_value: Mapped[str | None] = mapped_column(comment="The secret itself; null: it is in the Vault, see secret_id.")
    secret_id: Mapped[UUID | None] = mapped_column(
        unique=True, comment="The secret's id in the Vault; null: it is in key_value."
    )
    endpoint: Mapped[str | None] = mapped_column(comment="Root of the service's API.")
    environment: Mapped[str] = mapped_column(server_default=text("'sandbox'"))
    is_active: Mapped[BoolTrue]
    metadata_: Mapped[JsonObject] = mapped_column("metadata")
    last_used_at: Mapped[datetime | None] = mapped_column(comment="Last read by a caller; null: never.")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]

    def __repr__(self) -> str:
        """Name the credential without its value."""
        return f"<ApiKey {self.service_name}.{self.key_name} {self.environment}>"
