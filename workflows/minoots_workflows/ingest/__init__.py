"""Ingests as workflows: files that were sent are taken in, a few at a time."""
