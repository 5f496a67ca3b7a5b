"""Prints as JSON what the TensorRT bindings on the path have: enums with their values, classes with their properties and signatures.

Run on its own, by `tests.runtime.bindings`, because two versions of the bindings do not fit into one process.
"""

import json
import re

import tensorrt_bindings as trt

ENUMS = ("BuilderFlag", "DataType", "LayerType", "MemoryPoolType", "NetworkDefinitionCreationFlag", "TensorIOMode", "TensorLocation")
CLASSES = (
    "Builder", "IBuilderConfig", "ICudaEngine", "IExecutionContext", "IHostMemory", "ILayer", "ILogger", "INetworkDefinition",
    "IOptimizationProfile", "ITensor", "ITimingCache", "Logger", "OnnxParser", "ParserError", "Refitter", "Runtime", "Weights",
)  # fmt: skip


def signatures(name: str, documentation: str) -> list[str]:
    """The overloads that pybind11 writes into a docstring, without module prefixes and self."""
    text = documentation.replace("tensorrt_bindings.tensorrt.", "").replace("tensorrt_bindings.", "")
    lines = [line for line in text.split("\n") if re.match(rf"(\d+\. )?{re.escape(name)}\(", line) and "*args" not in line]
    return [re.sub(rf"^(\d+\. )?{re.escape(name)}\(self: \w+(, )?", "(", line) for line in lines]


def described(kind: type) -> dict[str, object]:
    """One class: its readable attributes, and its methods with their overloads."""
    properties, methods = {}, {}
    for name in sorted(vars(kind)):
        if (name.startswith("_") and name != "__init__") or (name.startswith("add_") and kind is trt.INetworkDefinition):
            continue  # layers come from the parser, never one by one
        value = vars(kind)[name]
        if isinstance(value, property):
            properties[name] = "read" if value.fset is None else "write"
        elif callable(getattr(kind, name)) and not isinstance(getattr(kind, name), type):
            methods[name] = signatures(name, getattr(kind, name).__doc__ or "")
    return {"properties": properties, "methods": methods}


enums = {name: {key: int(value) for key, value in getattr(trt, name).__members__.items()} for name in ENUMS}
enums["ILogger.Severity"] = {key: int(value) for key, value in trt.ILogger.Severity.__members__.items()}
print(json.dumps({"version": trt.__version__, "enums": enums, "classes": {name: described(getattr(trt, name)) for name in CLASSES}}))  # noqa: T201
