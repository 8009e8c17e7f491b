"""Data sets: reading their published forms, auditing, converting and drawing them."""
