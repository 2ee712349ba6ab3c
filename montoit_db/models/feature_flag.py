"""Feature flags, their history, and overrides for single users."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from montoit_db.models.base import Base, BoolFalse, CreatedAt, Json, JsonObject, UuidPk, one_of


class FeatureFlag(Base):
    """A capability of the platform, served to a share of its users."""

    __tablename__ = "feature_flags"
    __table_args__ = (
        CheckConstraint(
            one_of("credentials_status", "not_configured", "sandbox", "production"), name="credentials_status"
        ),
        CheckConstraint("rollout_percentage between 0 and 100", name="rollout_percentage"),
        {"comment": "Capabilities of the platform, each served to a share of its users."},
    )

    id: Mapped[UuidPk]
    key: Mapped[str] = mapped_column(unique=True, comment="Stable name that callers ask for.")
    name: Mapped[str] = mapped_column(comment="Name that operators read, in French.")
    description: Mapped[str | None] = mapped_column(comment="What it does; null: the name says it.")
    category: Mapped[str]
    is_enabled: Mapped[BoolFalse]
    requires_credentials: Mapped[BoolFalse]
    credentials_status: Mapped[str] = mapped_column(
        server_default=text("'not_configured'"),
        comment="Environment whose credentials serve the flag; not_configured blocks one that requires them.",
    )
    rollout_percentage: Mapped[int] = mapped_column(
        server_default=text("0"), comment="Share of users in percent; counts only while is_enabled."
    )
    allowed_roles: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=text("'{}'::text[]"), comment="Roles that may use it; empty: everyone."
    )
    metadata_: Mapped[JsonObject] = mapped_column("metadata")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    created_by: Mapped[UUID | None] = mapped_column(comment="User who made it; null: a migration.")
    updated_by: Mapped[UUID | None] = mapped_column(comment="User who changed it last; null: a migration.")


class FeatureFlagHistory(Base):
    """Every change of a flag, written by a trigger; it outlives the flag."""

    __tablename__ = "feature_flag_history"
    __table_args__ = (
        CheckConstraint(one_of("action", "created", "enabled", "disabled", "updated", "deleted"), name="action"),
        Index(None, "feature_flag_id", "changed_at"),
        {"comment": "Every change of a feature flag: who, what and why. Written by a trigger only."},
    )

    id: Mapped[UuidPk]
    feature_flag_id: Mapped[UUID] = mapped_column(comment="No foreign key: history outlives the flag.")
    flag_key: Mapped[str]
    action: Mapped[str]
    previous_value: Mapped[Json | None] = mapped_column(comment="The row before; null: it was created.")
    new_value: Mapped[Json | None] = mapped_column(comment="The row after; null: it was deleted.")
    changed_by: Mapped[UUID | None] = mapped_column(comment="The JWT's user; null: nobody signed in.")
    actor: Mapped[str] = mapped_column(comment="Database role that made the change.")
    changed_at: Mapped[CreatedAt]
    reason: Mapped[str | None] = mapped_column(comment="Why; null: the author did not say.")


class FeatureFlagOverride(Base):
    """A flag's answer for one user, whatever the rollout says."""

    __tablename__ = "feature_flag_overrides"
    __table_args__ = (
        UniqueConstraint("feature_flag_id", "user_id"),
        {"comment": "A flag's answer for one user, whatever its rollout says."},
    )

    id: Mapped[UuidPk]
    feature_flag_id: Mapped[UUID] = mapped_column(ForeignKey("feature_flags.id", ondelete="CASCADE"))
    user_id: Mapped[UUID]
    is_enabled: Mapped[bool]
    reason: Mapped[str | None]
    expires_at: Mapped[datetime | None] = mapped_column(comment="End of the exception; null: never.")
    created_at: Mapped[CreatedAt]
    created_by: Mapped[UUID | None] = mapped_column(comment="User who made it; null: a migration.")
