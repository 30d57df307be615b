"""What every request passes through, as plain ASGI."""
