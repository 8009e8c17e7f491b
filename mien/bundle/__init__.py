"""A model on disk, and the classifier that runs it. docs/bundle.md has the format."""

from mien.bundle.schema import SHIPPED, Bundle, open_bundle, write_bundle

__all__ = ["SHIPPED", "Bundle", "open_bundle", "write_bundle"]
