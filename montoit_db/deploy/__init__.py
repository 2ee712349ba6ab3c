"""All around Alembic: how a revision speaks to the database."""
