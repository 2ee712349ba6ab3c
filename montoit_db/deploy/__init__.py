"""What surrounds Alembic's own work: the words, the locks, the adoption, the outcome, and how a revision runs SQL."""
