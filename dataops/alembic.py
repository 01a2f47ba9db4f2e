"""For the env.py of an Alembic project: a bare `alembic` then uses the lock and the journal of dataops.

from dataops.alembic import run_migrations

run_migrations("shop", target_metadata=target_metadata)

It takes the place of `run_migrations_online()`, and gets what was given to `context.configure()` there, but for the
connection: the URL is that of the service in dataops.toml.
"""

from __future__ import annotations

from dataops.backends.postgres.env import run as run_migrations

__all__ = ["run_migrations"]
