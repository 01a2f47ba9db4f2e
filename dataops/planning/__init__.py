"""From what databases say to a plan, or to a refusal. Pure, except that `planfile` reads and writes a file.

`target` finds the migration that a person means, `checks` refuses files and records that make no history, `recovery`
says what a crash means for the next run, `planner` makes a plan, and `planfile` keeps one in a file.
"""
