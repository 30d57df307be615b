"""Capture: transcripts of agents become records, and recordings that people asked for."""
