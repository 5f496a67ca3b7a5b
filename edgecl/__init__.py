"""Continual learning on the camera itself. Importing this imports nothing heavy."""

__version__ = "0.1.0"
