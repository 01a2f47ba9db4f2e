"""Alembic's way into the notifications database: the same lock and journal as `dataops`."""

from dataops.backends.postgres.env import run

run("notifications")
