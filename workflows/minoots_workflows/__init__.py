"""Deterministic code: workflows, the pure policies they follow, and the ports through which they reach the world."""
