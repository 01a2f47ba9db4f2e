"""What people, programs and pipelines see: one module a format."""
