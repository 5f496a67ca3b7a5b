"""Everything that can be set, once, with its unit. Settings stop at the door: functions inside take plain keyword arguments."""

from dataclasses import dataclass

DEFAULT_CAPACITY = 128  # rows of the head
AUTO = "auto"  # the GPU where torch sees one, else the CPU
METHODS = ("edgecl", "paper", "paper-kl")  # how learn learns
PAPER_DIVERGENCE = 0.4  # of paper-kl, as its authors have it
DEVICES = (AUTO, "cpu", "cuda")  # what learn may train on
PIXEL_LIMIT = 64_000_000  # pixels of one picture; above it a file is refused before it is decoded
KEY_PREFIX = "ed25519:"  # before the 64 hex digits of a public key


@dataclass(frozen=True, kw_only=True)
class AdapterShape:
    """The adapter that every task of a store gets."""

    rank: int = 8
    alpha: float = 16.0
    first_block: int = 6  # adapters sit in this block and all above; the blocks below are shared by all versions


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """How much of the past is kept as pictures."""

    per_class: int = 10  # pictures, 2 of them holdout
    budget_mib: float = 256.0  # MiB for all kept pictures


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """When a new version is not served."""

    max_drop: float = 0.03  # of pooled old-class holdout accuracy, 0..1
    significance: float = 0.05  # p of the one-sided McNemar test


@dataclass(frozen=True, kw_only=True)
class BundleSettings:
    """Whose bundles a store applies."""

    trusted_keys: tuple[str, ...] = ()  # public keys, ed25519:<64 hex digits>; empty: bundles need no signature


@dataclass(frozen=True, kw_only=True)
class LearnSettings:
    """One task's training."""

    seed: int = 0
    epochs: int = 4  # passes over the new pictures
    batch: int = 16  # pictures
    replay_per_new: float = 2.0  # looks at remembered pictures per new one in an epoch; the time per task so depends on what is new alone
    learning_rate: float = 2e-3  # peak, AdamW
    weight_decay: float = 0.01
    warmup: float = 0.1  # part of all steps
    label_smoothing: float = 0.1
    coefficients: tuple[float, ...] = (0.0, 0.5, 1.0)  # candidates of the search
    threads: int = 0  # CPU threads, 0 = as many as torch takes by itself


@dataclass(frozen=True, kw_only=True)
class PaperSettings:
    """One task's training by the seed paper's method. The authors' learning rates, for a ViT-Base, are 5e-6 for at most 50 epochs."""

    rank: int = 16  # of q's and of v's adapter
    alpha: float = 16.0
    coefficient: float = 0.25  # of the task vector
    epochs: int = 10  # passes over the task's pictures, at most
    patience: int = 3  # epochs without a better validation accuracy after which training ends
    learning_rate: float = 1e-3  # Adam
    memory_epochs: int = 10  # passes over the memory
    memory_learning_rate: float = 1e-4  # Adam
    weight_decay: float = 1e-6
    divergence: float = 0.0  # part of the loss that holds features to the untrained ones; 0.4 in the authors' KL variant

    @property
    def name(self) -> str:
        """As --method takes it."""
        return "paper-kl" if self.divergence else "paper"


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """How learning shares a board with the camera app, and with power cuts."""

    checkpoint_s: float = 60.0  # seconds between two checkpoints
    max_minutes: float | None = None  # of work in one run, then it stops resumably
    hot_c: float = 80.0  # degrees from which learning waits
    cool_c: float = 75.0  # degrees at which it goes on
    reserve_mib: int = 256  # MiB of memory that stay available to others
    patience_s: float = 60.0  # seconds to wait for memory before less is used
    most_back_off: float = 8.0  # times a step's duration slept after it while the app is over its budget
    longest_back_off_s: float = 5.0  # seconds


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """One camera of the app."""

    source: str  # as `edgecl run --source` takes it
    region: tuple[float, float, float, float] | None = None  # left, top, width, height as parts of the frame, 0..1; None: all of it
    max_fps: float = 0.0  # frames per second that are answered at most; 0 = all that the engine has time for
    smoothing: int = 1  # frames over which probabilities are averaged; 1 = none
    loop: bool = False  # a file or folder begins anew at its end


@dataclass(frozen=True, kw_only=True)
class AnnounceSettings:
    """Where the app says that an answer changed."""

    hold_s: float = 0.5  # seconds for which a new answer must last
    mqtt: str | None = None  # mqtt[s]://[user:password@]host[:port]/topic
    webhook: str | None = None  # http[s]://...
    command: tuple[str, ...] | None = None  # program and arguments; gets the event on its stdin
