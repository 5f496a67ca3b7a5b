"""Reading safetensors from bytes that may be anything."""

from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load


def parsed_tensors(data: bytes) -> dict[str, NDArray[Any]]:
    """All tensors of a safetensors file.

    The library checks that the header's offsets and shapes lie within the bytes and over no other tensor before it allocates anything.

    Raises:
        ValueError: it is not one, or has a type that numpy does not know.
    """
    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is not a safetensors file: {error}") from error
