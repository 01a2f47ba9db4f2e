"""Files in the project: migrations (`chain`), what other tools call them (`aliases`), and TOML (`toml`)."""
