"""Capture of agents' transcripts: reading what their programs write, as events of one kind."""
