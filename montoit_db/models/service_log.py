"""What was asked of InTouch and what it answered: one row for each payment, SMS or WhatsApp message."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from montoit_db.models.base import Base, CreatedAt, Json, UuidPk, one_of


class ServiceLog(Base):
    """The columns that the three logs share."""

    __abstract__ = True

    id: Mapped[UuidPk]
    user_id: Mapped[UUID | None] = mapped_column(comment="Whom it concerns; null: nobody signed in.")
    provider: Mapped[str] = mapped_column(server_default=text("'intouch'"))
    partner_transaction_id: Mapped[str] = mapped_column(unique=True, comment="Mon Toit's own reference.")
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    status_code: Mapped[int | None] = mapped_column(comment="InTouch's code; null: no answer yet.")
    status_message: Mapped[str | None] = mapped_column(comment="InTouch's words; null: no answer yet.")
    raw_response: Mapped[Json | None] = mapped_column(comment="InTouch's answer; null: none yet.")
    created_at: Mapped[CreatedAt]


class PaymentLog(ServiceLog):
    """A mobile-money payment; amounts are whole FCFA, since XOF has no minor unit."""

    __tablename__ = "payment_logs"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint(
            one_of("payment_method", "orange_money", "mtn_money", "moov_money", "wave"), name="payment_method"
        ),
        CheckConstraint(one_of("status", "pending", "processing", "success", "failed", "cancelled"), name="status"),
        Index(None, "created_at"),
        Index(None, "user_id"),
        {"comment": "Mobile-money payments asked of InTouch."},
    )

    amount: Mapped[int] = mapped_column(comment="FCFA.")
    payment_method: Mapped[str]
    phone_number: Mapped[str | None] = mapped_column(comment="Payer's number; null: not given.")
    intouch_transaction_id: Mapped[str | None] = mapped_column(comment="InTouch's reference; null: none yet.")
    raw_callback: Mapped[Json | None] = mapped_column(comment="InTouch's call back; null: none yet.")
    updated_at: Mapped[CreatedAt]


class SmsLog(ServiceLog):
    """An SMS."""

    __tablename__ = "sms_logs"
    __table_args__ = (
        CheckConstraint(one_of("status", "pending", "sent", "delivered", "failed"), name="status"),
        Index(None, "created_at"),
        Index(None, "user_id"),
        {"comment": "SMS sent through InTouch."},
    )

    phone_number: Mapped[str]
    message: Mapped[str]
    type: Mapped[str] = mapped_column(server_default=text("'general'"))
    intouch_sms_id: Mapped[str | None] = mapped_column(comment="InTouch's reference; null: none yet.")


class WhatsappLog(ServiceLog):
    """A WhatsApp message."""

    __tablename__ = "whatsapp_logs"
    __table_args__ = (
        CheckConstraint(one_of("status", "pending", "sent", "delivered", "read", "failed"), name="status"),
        Index(None, "created_at"),
        Index(None, "user_id"),
        {"comment": "WhatsApp messages sent through InTouch."},
    )

    phone_number: Mapped[str]
    message: Mapped[str]
    type: Mapped[str] = mapped_column(server_default=text("'general'"))
    intouch_message_id: Mapped[str | None] = mapped_column(comment="InTouch's reference; null: none yet.")
    raw_callback: Mapped[Json | None] = mapped_column(comment="InTouch's call back; null: none yet.")
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    read_at: Mapped[datetime | None]
    updated_at: Mapped[CreatedAt]
