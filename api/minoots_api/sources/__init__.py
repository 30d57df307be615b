"""Files and texts that were taken in."""
