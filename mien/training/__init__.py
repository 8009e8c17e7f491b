"""Training. Only this folder imports keras and tensorflow."""
