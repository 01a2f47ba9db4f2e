"""What migrations put aside, so that a rollback loses nothing.

A migration that throws something away (a field, a collection, a former value) first copies it, on the server,
into a *stash* of its own, and its rollback gives it back. A stash belongs to exactly one migration, lives in
the database that it describes and vanishes at the end of the rollback. `dataops stash list` shows them,
`dataops stash prune` drops old ones: after that the migration cannot be rolled back any more, and says so.

`mongo` is the MongoDB half: collections named `dataops_stash_<version>...`.
"""
