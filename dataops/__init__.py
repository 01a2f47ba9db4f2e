"""One migration tool for MongoDB and PostgreSQL: plan, apply, rollback and status behind one interface."""

__version__ = "0.1.0"
