"""The fake package itself: what `import tensorrt` gives, made from one version's JSON."""

import enum
import json
import re
from collections.abc import Callable, Collection
from functools import wraps
from importlib.resources import files
from typing import Any

from edgecl.runtime.fake_tensorrt.building import KINDS as BUILDING
from edgecl.runtime.fake_tensorrt.cuda import FakeCuda
from edgecl.runtime.fake_tensorrt.serving import KINDS as SERVING

VERSIONS = ("10.3", "10.16", "11.4")


def fake_tensorrt(
    version: str = "11.4", *, bugs: Collection[str] = (), without: Collection[str] = (), cuda: FakeCuda | None = None
) -> "FakeTensorrt":
    """The package `tensorrt` as `version` has it.

    Args:
        bugs: of those that the version's JSON names, each as it was reported somewhere; "drops_a_bias" for example.
        without: members to hide as an older release would, such as "BuilderFlag.REFIT_INDIVIDUAL".
        cuda: the GPU that engines are built for and run on.
    """
    fields = json.loads((files("edgecl.runtime.fake_tensorrt") / "versions" / f"{version}.json").read_text(encoding="utf-8"))
    unknown = set(bugs) - set(fields["behaviours"]["bugs"])
    if unknown:
        raise ValueError(
            f"TensorRT {version} is not said to have the bugs {sorted(unknown)}; the JSON names {sorted(fields['behaviours']['bugs'])}"
        )
    for name in without:
        _hide(fields, name)
    return FakeTensorrt(fields, frozenset(bugs), cuda or FakeCuda())


class FakeTensorrt:
    """A package `tensorrt` as an object. `touched` notes each member that was used, `calls` how each method was called."""

    def __init__(self, fields: dict[str, Any], bugs: frozenset[str], cuda: FakeCuda) -> None:
        self.__version__: str = fields["version"]
        self._fields, self._cuda = fields, cuda
        self.bugs = bugs  # may be changed later: a board gets worse
        self.behaviours: dict[str, Any] = fields["behaviours"]
        self.touched: set[str] = set()
        self.calls: set[tuple[str, int, tuple[str, ...]]] = set()  # method, positional arguments, keywords
        for name, values in fields["enums"].items():
            if "." not in name:
                setattr(self, name, _enum(name, values))
        for kind in (*BUILDING, *SERVING):
            setattr(self, kind.__name__, type(kind.__name__, (kind,), {"_library": self, "_kind": kind.__name__}))
        self.ILogger.Severity = _enum("Severity", fields["enums"]["ILogger.Severity"])  # type: ignore[attr-defined]

    def touch(self, kind: str, name: str, *, write: bool = False) -> None:
        """Note the use of a member.

        Raises:
            AttributeError: this version does not have it, or does not let it be set.
        """
        members = self._fields["classes"][kind]
        if name not in members["properties"] and name not in members["methods"]:
            raise AttributeError(f"'tensorrt.{kind}' object has no attribute '{name}'")
        if write and members["properties"].get(name) != "write":
            raise AttributeError(f"can't set attribute '{name}' of 'tensorrt.{kind}'")
        self.touched.add(f"{kind}.{name}")

    def checked(self, kind: str, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """`method`, which refuses calls that no signature of the real one takes."""

        @wraps(method)
        def call(*arguments: Any, **keywords: Any) -> Any:
            signatures = self._fields["classes"][kind]["methods"][name]
            if not any(takes(signature, len(arguments), keywords) for signature in signatures):
                raise TypeError(f"{name}(): incompatible function arguments. The following argument types are supported: {signatures}")
            self.calls.add((f"{kind}.{name}", len(arguments), tuple(sorted(keywords))))
            return method(*arguments, **keywords)

        return call


def takes(signature: str, positional: int, keywords: Collection[str]) -> bool:
    """Whether a call with so many positional arguments and these keywords fits `(a: int, b: str = None) -> bool`."""
    inner = signature[1 : signature.index(") ->")]
    depth, parameters = 0, [""]
    for character in inner:
        depth += (character in "[(<{") - (character in "])>}")
        if character == "," and not depth:
            parameters.append("")
        else:
            parameters[-1] += character
    names = [re.split("[:=]", parameter)[0].strip() for parameter in parameters if parameter.strip()]
    needed = [name for name, parameter in zip(names, parameters, strict=False) if "=" not in parameter]
    given = {*names[:positional], *keywords}
    return positional <= len(names) and set(keywords) <= set(names[positional:]) and set(needed) <= given


def _enum(name: str, values: dict[str, int]) -> Any:
    return enum.IntEnum(name, list(values.items()))


def _hide(fields: dict[str, Any], name: str) -> None:
    kind, _, member = name.rpartition(".")
    if kind in fields["enums"]:
        del fields["enums"][kind][member]
    else:
        members = fields["classes"][kind]
        del members["methods" if member in members["methods"] else "properties"][member]
