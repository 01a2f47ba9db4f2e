"""Alembic's way into the api-keys database: the same lock and journal as `dataops`."""

from dataops.backends.postgres.env import run

run("api-keys")
