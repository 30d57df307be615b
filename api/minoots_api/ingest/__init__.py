"""Files and texts that are sent to be taken in."""
