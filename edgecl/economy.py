"""How training gets along with less memory: three things to give up, one after the other, none of which loses what was learned."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Economy:
    """What training allows itself."""

    at_once: int  # pictures of a batch that go through the model together; their gradients are added up
    recompute: bool = False  # what blocks put out is computed again for the gradient instead of kept (gradient checkpointing)
    train_from: int  # first block whose adapter goes on learning; those below keep what they have learned

    def cheaper(self, depth: int) -> "tuple[Economy, str] | None":
        """The next smaller one of a model with `depth` blocks, and what is given up in words; None when nothing is left.

        Half as many pictures at once, down to one; then gradient checkpointing; then half of the blocks that still learn, down to one.
        """
        if self.at_once > 1:
            fewer = self.at_once // 2
            return replace(self, at_once=fewer), f"{fewer} of {self.at_once} pictures at once, each batch in parts"
        if not self.recompute:
            return replace(self, recompute=True), "gradient checkpointing: slower, with less memory"
        learning = depth - self.train_from
        if learning > 1:
            fewer = learning // 2
            return replace(self, train_from=depth - fewer), f"only the last {fewer} of {depth} blocks go on learning"
        return None

    def to_json(self) -> dict[str, int]:
        """For the checkpoint."""
        return {name: int(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, int]) -> "Economy":
        """Read `to_json`; TypeError or KeyError when it is something else."""
        return cls(at_once=int(fields["at_once"]), recompute=bool(fields["recompute"]), train_from=int(fields["train_from"]))
