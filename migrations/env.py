"""Alembic's environment: it connects through montoit_db, runs the revisions, and shows the outcome."""

import io
from functools import partial
from logging.config import fileConfig

from alembic import context

from montoit_db.deploy import autogenerate, deployment, offline
from montoit_db.deploy.failures import explained
from montoit_db.deploy.revisions import VERSION_SCHEMA
from montoit_db.deploy.words import let_revisions_object

configure = partial(context.configure, version_table_schema=VERSION_SCHEMA)


def run_offline() -> None:
    """Print the revisions as a script of one transaction; `%` stays `%`."""
    configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        starting_rev=offline.starting_revisions(context.config, context.script),
    )
    with offline.header_and_result(context.get_context()), context.begin_transaction():
        offline.begin(context.get_context())
        let_revisions_object(context.get_context())
        context.run_migrations()
        offline.end(context.get_context())


def run_without_database() -> None:
    """Run a command that needs no database, `history` for example."""
    configure(
        dialect_name="postgresql",
        as_sql=True,
        output_buffer=io.StringIO(),
        process_revision_directives=autogenerate.place,
    )
    context.run_migrations()


def run_online() -> None:
    """Apply the revisions, each in a transaction of its own, then say what the database now holds."""
    with deployment.deployment(context.config) as deploy:
        configure(
            connection=deploy.connection,
            transaction_per_migration=True,
            on_version_apply=deploy.record,
            **autogenerate.options(deploy.object_filter),
        )
        deploy.run(context.get_context(), context.run_migrations)
        deploy.show_outcome(context.get_context())


if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

with explained(context.config):
    if context.is_offline_mode():
        run_offline()
    elif deployment.needs_no_database(context.config):
        run_without_database()
    else:
        run_online()
