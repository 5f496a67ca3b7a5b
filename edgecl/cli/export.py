"""`edgecl export`: a self-contained folder for deployment."""

from edgecl.cli.options import DEFAULT_STORE, StoreOption


def export(store: StoreOption = DEFAULT_STORE) -> None:
    """Write a version as an ONNX graph and its weights, checked against the trained model."""
    raise NotImplementedError
