"""The `minoots` commands that this package brings."""
