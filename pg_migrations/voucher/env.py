"""Alembic's way into the voucher database: the same lock and journal as `dataops`."""

from dataops.backends.postgres.env import run

run("voucher")
