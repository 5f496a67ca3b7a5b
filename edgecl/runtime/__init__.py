"""Everything a camera does with a finished version. Nothing here but `eager` imports torch."""
