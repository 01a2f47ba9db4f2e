"""Migration files and what lies beside them."""
