"""Runs a plan, and does the other work that needs the lock.

`executor` runs the steps of a plan, and `retry` decides which steps are tried again. `under_lock` resolves, prunes and
approves, and `adopting` takes over databases that others have migrated. `reading` reads many databases side by side,
`watching` knows how far the running steps have come, and `stop` asks a run to stop.
"""
