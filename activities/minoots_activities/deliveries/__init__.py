"""Delivering what fired, attempt by attempt."""
