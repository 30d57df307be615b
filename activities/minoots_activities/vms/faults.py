"""What can be wrong with an image or with the machine that is to run it."""

from __future__ import annotations


class ImageFault(Exception):
    """An image cannot be built or used.

    Args:
        detail: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(f"{detail}. {remedy}")
        self.detail = detail
        self.remedy = remedy
