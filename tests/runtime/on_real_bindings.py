"""Runs what of edgecl's code needs no GPU on NVIDIA's own bindings, and prints what came of it. Started by `tests.runtime.bindings`."""

import json
from dataclasses import astuple

import numpy as np
import tensorrt_bindings as trt

from edgecl.errors import EngineUnusable
from edgecl.runtime.refit import _typed
from edgecl.runtime.session import make_logger, started
from edgecl_export.to_tensorrt import road_of

logger = make_logger(trt)
for severity, text in (("WARNING", "dropped"), ("ERROR", "kept"), ("INFO", "dropped"), ("INTERNAL_ERROR", "kept, too")):
    logger.log(getattr(trt.ILogger.Severity, severity), text)

array = np.arange(6, dtype=np.float32).reshape(2, 3)
weights = []
for kind in (trt.DataType.FLOAT, trt.DataType.HALF):
    prototype = trt.Weights(np.zeros(6, np.float32 if kind == trt.DataType.FLOAT else np.float16))
    made = trt.Weights(_typed(trt, "w", array, prototype))
    weights.append([made.dtype.name, made.size, str(made.numpy().dtype)])

try:
    _typed(trt, "w", array, trt.Weights(np.zeros(6, np.int8)))
    refused = ""
except EngineUnusable as error:
    refused = str(error)

try:
    started(trt, trt.Builder, logger)
    start = ""
except EngineUnusable as error:
    start = str(error)

found = {"road": list(astuple(road_of(trt))), "errors": logger.errors, "weights": weights, "refused": refused, "start": start}
print(json.dumps(found))  # noqa: T201 - read by the test
