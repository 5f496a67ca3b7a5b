"""timm's plain Vision Transformers to and from plain names and arrays. The only package that knows timm.

A backbone enters as `(Architecture, state)`: numbers and float32 arrays under timm's own names. Whatever the graph writer does not know
is refused here, at `edgecl init`, and not at the first export.
"""

from edgecl.backbone.plain import TESTED, architecture_of
from edgecl.backbone.vit import Vit, build
from edgecl.backbone.weights import Pretrained, check_state, load_pretrained, random_state, read_weights_file

__all__ = ["TESTED", "Pretrained", "Vit", "architecture_of", "build", "check_state", "load_pretrained", "random_state", "read_weights_file"]
