"""What is known of language models without asking anybody: context, capabilities, prices with their dates."""

from .catalogue import Catalogue, KnownModel, Price, load_catalogue

__all__ = ["Catalogue", "KnownModel", "Price", "load_catalogue"]
