"""Merged models leave edgecl through here: the graph writer, the export folder and the proof that both agree."""
