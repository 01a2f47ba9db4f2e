"""Other migration tools' records, compared with our history. Pure: how a record is read is known to dataops.backends.

`match` tells which row is which of our migrations. `examine` is for taking a database over, `drift` for what has
changed since then, `watch` for databases that only the other tool migrates, and `mirror` for what we write into a
record so that the other tool finds it complete. `refusals` are the errors that several of these raise.
"""
