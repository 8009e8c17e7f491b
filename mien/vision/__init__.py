"""Pictures: decoding files, detecting and cutting out faces, and drawing on pictures."""
