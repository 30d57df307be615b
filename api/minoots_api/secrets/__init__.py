"""Signing secrets over HTTP."""
