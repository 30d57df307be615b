"""Composition root: which worker serves which queue with which parts; and the embedded stack."""
