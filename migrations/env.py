"""Alembic's environment: a connection from montoit_db, the revisions on it, the outcome told from the database."""

from functools import partial
from logging.config import fileConfig

from alembic import context

from montoit_db import deployment

configure = partial(context.configure, version_table_schema="public")


def run_offline() -> None:
    """Print the revisions as a script, one transaction for all of it; `%` stays `%`."""
    from montoit_db import script  # noqa: PLC0415 -- only a script needs it

    configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"})
    with script.framed(context.get_context()), context.begin_transaction():
        script.begin(context.get_context())
        deployment.prepare(context.get_context())
        context.run_migrations()


def run_online() -> None:
    """Apply the revisions, each in a transaction of its own, then say what the database now holds."""
    with deployment.deployment() as deploy:
        configure(
            connection=deploy.connection,
            transaction_per_migration=True,
            on_version_apply=deploy.record,
            include_object=deploy.is_ours,
            compare_server_default=True,
        )
        deploy.run(context.get_context(), context.run_migrations)
        deploy.tell(context.get_context())


if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

with deployment.plain_errors(context.config):
    if context.is_offline_mode():
        run_offline()
    else:
        run_online()
