"""From what databases say to a plan, or a refusal. Pure: no I/O, no clock."""
