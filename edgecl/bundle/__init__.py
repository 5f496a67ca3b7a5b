"""A task as one file: packed on one board, applied on others without torch."""
