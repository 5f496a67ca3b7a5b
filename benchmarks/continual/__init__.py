"""The parts of `benchmarks/continual.py`: one file per family of methods, one format for their rows, one table."""
