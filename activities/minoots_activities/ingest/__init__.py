"""Ingest: files and texts that were sent are read, redacted, divided and kept."""
