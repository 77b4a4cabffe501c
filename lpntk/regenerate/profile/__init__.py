"""What is asked of a run: its file, its parameters, checked before anything starts."""
