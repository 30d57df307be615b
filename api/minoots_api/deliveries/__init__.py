"""Dead letters, replays and destinations over HTTP."""
