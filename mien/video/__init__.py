"""Videos: frames with their times, faces tracked and smoothed, summaries and marked copies."""
