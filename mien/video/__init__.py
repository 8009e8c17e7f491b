"""A video's way: frames with their times, faces followed and smoothed, summaries and copies."""
