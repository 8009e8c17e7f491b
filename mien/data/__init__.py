"""Data: reading it in all its published forms, knowing it, drawing it."""
