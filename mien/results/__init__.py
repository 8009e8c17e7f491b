"""Results for pictures and videos, and their files: csv, jsonl, json, parquet."""

from mien.results.frame import Frame
from mien.results.lists import Faces, Frames
from mien.results.types import Face, Quality

__all__ = ["Face", "Faces", "Frame", "Frames", "Quality"]
