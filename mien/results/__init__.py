"""What was found in pictures and videos, and how it is written: csv, jsonl, json, parquet."""

from mien.results.frame import Frame
from mien.results.lists import Faces, Frames
from mien.results.types import Face, Quality

__all__ = ["Face", "Faces", "Frame", "Frames", "Quality"]
