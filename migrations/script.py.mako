"""${message}."""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
from montoit_db.deploy.statements import refuse_to_lose_rows

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
% if branch_labels:
branch_labels = ${repr(branch_labels)}
% endif
% if depends_on:
depends_on = ${repr(depends_on)}
% endif

before_downgrade = refuse_to_lose_rows


def upgrade() -> None:
    """Say what it changes."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo exactly that."""
    refuse_to_lose_rows()
    ${downgrades if downgrades else ""}
