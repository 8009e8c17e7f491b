"""Videos: timed frames, tracked faces, smoothed probabilities, summaries and marked copies."""
