"""What was found in pictures and videos, and how it is written: csv, jsonl, json, parquet."""

from mien.results.types import Face, Frame, Quality

__all__ = ["Face", "Frame", "Quality"]
