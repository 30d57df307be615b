"""Whether the gateway lives, is ready, and how it fares."""
