"""Commands that the platform adds to `minoots`."""
