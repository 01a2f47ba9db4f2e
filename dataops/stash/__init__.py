"""What migrations put aside, so that a rollback loses nothing.

A migration that throws something away (a field, a collection, a former value) first copies it, on the server,
into a *stash* of its own, and its rollback gives it back. A stash belongs to exactly one migration, lives in
the database that it describes and is dropped at the end of the rollback. `dataops stash list` shows all
stashes. `dataops stash prune` drops old ones; the rollback of such a migration then refuses.

`mongo` keeps a stash in collections named `dataops_stash_<version>...`, `postgres` in a schema.
"""
