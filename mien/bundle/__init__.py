"""A model on disk, and the classifier that runs it. docs/bundle.md describes the format."""

from mien.bundle.store import SHIPPED, open_bundle, write_bundle
from mien.bundle.types import Bundle, Head

__all__ = ["SHIPPED", "Bundle", "Head", "open_bundle", "write_bundle"]
