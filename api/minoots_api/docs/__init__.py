"""The page at ``/docs``: our own, because it has to work without a network."""
