"""An engine for a learned store on a fake board, ready for what runs it."""

from dataclasses import dataclass
from typing import Any

from edgecl.runtime.fake_tensorrt import FakeCuda, FakeTensorrt, fake_tensorrt
from edgecl.runtime.trt import TrtPredictor
from edgecl.store import Store
from edgecl_export.engine import export_engine


@dataclass
class Board:
    """A store on a machine with a fake TensorRT."""

    store: Store
    trt: FakeTensorrt
    cuda: FakeCuda

    def export(self, number: int = 1, **options: Any) -> Any:
        """`edgecl export --trt`, with an engine to refit where nothing else is said."""
        return export_engine(self.store, number, trt=self.trt, cuda=self.cuda, **{"kind": "refit", **options})

    def predictor(self, number: int | None = 1) -> TrtPredictor:
        """A predictor that serves version `number`."""
        made = TrtPredictor(self.store, trt=self.trt, cuda=self.cuda)
        if number is not None:
            made.load(self.store.folder(number))
        return made


def board_of(store: Store, release: str = "10.16", **options: Any) -> Board:
    """A board without an engine yet; `options` are the fake's."""
    cuda = options.pop("cuda", None) or FakeCuda()
    return Board(store, fake_tensorrt(release, cuda=cuda, **options), cuda)
