"""Other tools' records against our history. Pure: no I/O; how a record is read is known to dataops.backends."""
