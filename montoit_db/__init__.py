"""Mon Toit's InTouch integration, switched on and off by Alembic."""

__version__ = "0.1.0"
