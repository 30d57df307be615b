"""What Minoots promises in numbers, measured on a running embedded stack. Not a test: nothing fails here."""
