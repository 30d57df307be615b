"""What answers must not repeat: values of headers that usually carry credentials."""

from __future__ import annotations

import re
from typing import Any, Final

from minoots_platform.connectors import masked_config

MASK: Final = "********"

_SECRET_HEADER: Final = re.compile(
    r"auth|cookie|token|secret|passw|credential|session|signature|(?:^|api|[-_])key$", re.IGNORECASE
)


def masked_actions(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``actions`` with the values of credential headers masked."""
    return [
        masked_config(action)
        if "config" in action
        else action
        if "headers" not in action
        else action
        | {
            "headers": {
                name: MASK if _SECRET_HEADER.search(name) else value
                for name, value in action["headers"].items()
            }
        }
        for action in actions
    ]
