"""What every model shares: PostgreSQL's own constraint names, and the column types that repeat."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

UuidPk = Annotated[UUID, mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))]
BoolFalse = Annotated[bool, mapped_column(server_default=text("false"))]
BoolTrue = Annotated[bool, mapped_column(server_default=text("true"))]
JsonObject = Annotated[dict[str, Any], mapped_column(JSONB, server_default=text("'{}'::jsonb"))]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
CreatedAt = Annotated[datetime, mapped_column(server_default=text("now()"))]


class Base(DeclarativeBase):
    """The declarative base; its naming convention is PostgreSQL's own, which adopted tables have, too."""

    metadata = MetaData(
        schema="public",
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "ix": "idx_%(table_name)s_%(column_0_N_name)s",
        },
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        datetime: DateTime(timezone=True),
    }


def one_of(column: str, *values: str) -> str:
    """Return the SQL of a check that `column` holds one of `values`."""
    return f"{column} in ({', '.join(repr(value) for value in values)})"
