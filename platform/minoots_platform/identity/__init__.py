"""Who is asking, and what they may do."""

from .keys import HASH_LENGTH, hash_key, new_key
from .principal import Principal, Scope

__all__ = ["HASH_LENGTH", "Principal", "Scope", "hash_key", "new_key"]
