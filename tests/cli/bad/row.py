"""What one bad input is."""

from dataclasses import dataclass

from tests.cli.workplace import Make


@dataclass(frozen=True)
class Bad:
    """A command in a workplace where `make` has put something wrong, its exit code, and what the message must say.

    `says` is `value met | what was expected | remedy`; each part must stand in the message (one phrase may serve twice).
    """

    name: str
    command: str
    code: int
    says: str
    make: Make = lambda place: None
