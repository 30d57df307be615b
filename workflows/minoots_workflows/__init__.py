"""Deterministic code: workflows, the pure policies they follow, the ports by which they reach the world."""
