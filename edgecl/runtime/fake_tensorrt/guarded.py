"""What all fake classes share: they have the members of their real namesake and no others."""

from typing import Any


class Guarded:
    """Base of the fake classes. Names that begin with an underscore are the fake's own; all others are checked and noted."""

    _library: Any  # the FakeTensorrt that the class belongs to
    _kind: str

    def __new__(cls, *arguments: Any, **keywords: Any) -> "Guarded":
        """Constructed as the real class lets itself be constructed."""
        made = object.__new__(cls)
        if cls.__name__ == cls._kind:
            cls._library.checked(cls._kind, "__init__", lambda *given, **named: None)(*arguments, **keywords)
        return made

    @classmethod
    def _made(cls, **attributes: Any) -> Any:
        """An object that only the library itself makes; `attributes` are the fake's own, without their underscore."""
        made = object.__new__(cls)
        for name, value in attributes.items():
            object.__setattr__(made, f"_{name}", value)
        return made

    def __getattribute__(self, name: str) -> Any:
        """A member of the version's JSON, or AttributeError."""
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        own = type(self).__name__ == type(self)._kind  # a subclass of ILogger has attributes of its own
        if own:
            self._library.touch(self._kind, name)
        try:
            value = object.__getattribute__(self, name)
        except AttributeError as error:
            if not own:
                raise
            raise NotImplementedError(f"the fake TensorRT does not act out {self._kind}.{name}") from error
        return self._library.checked(self._kind, name, value) if own and callable(value) and not isinstance(value, type) else value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what the real class lets be set."""
        if not name.startswith("_") and type(self).__name__ == type(self)._kind:
            self._library.touch(self._kind, name, write=True)
        object.__setattr__(self, name, value)

    @property
    def _bugs(self) -> frozenset[str]:
        bugs: frozenset[str] = self._library.bugs
        return bugs

    def _say(self, logger: Any, message: str) -> None:
        logger.log(type(logger).Severity.ERROR, message)
