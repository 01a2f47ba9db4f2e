"""Running a plan, and other work under the lock."""
