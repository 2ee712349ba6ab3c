"""${message}."""

from montoit_db.deploy.statements import refuse_to_lose_rows, run

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

before_downgrade = refuse_to_lose_rows


def upgrade() -> None:
    """Say what it creates."""
    ${upgrades if upgrades else 'run("")'}


def downgrade() -> None:
    """Undo exactly that."""
    refuse_to_lose_rows()
    ${downgrades if downgrades else 'run("")'}
