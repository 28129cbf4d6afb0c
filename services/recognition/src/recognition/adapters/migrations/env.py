"""What Alembic runs: all pending steps in the transaction of the connection it was given."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_version",
    version_table_schema="gallery",
)
context.run_migrations()
