"""Pictures: any file to RGB, faces found, cut out and prepared, and what is drawn on pictures."""
