"""`edgecl demo`: the whole road on drawn pictures."""


def demo() -> None:
    """Walk the whole road on pictures that edgecl draws itself, with an untrained model."""
    raise NotImplementedError
