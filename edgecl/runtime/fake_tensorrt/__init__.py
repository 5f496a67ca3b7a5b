"""TensorRT without TensorRT: enough of its Python package to build, refit and run the graphs that edgecl writes, on any laptop.

    trt = fake_tensorrt("10.3", bugs={"drops_a_bias"})          # stands where `import tensorrt as trt` would
    cuda = FakeCuda()                                           # stands for libcudart, handed to it as `fake_tensorrt(..., cuda=cuda)`

Each version has one JSON file in `versions/`: its enums, classes and signatures, read from NVIDIA's own bindings, and its behaviours
and bugs, each with a source. An attribute that the real version does not have is an AttributeError here, a call that no signature
of it takes a TypeError. An engine computes with ONNX Runtime on the CPU, so its answers are those of the graph.

**It proves edgecl's branches, not TensorRT**: neither speed, nor rounding, nor what NVIDIA's builder makes of a graph.
"""

from edgecl.runtime.fake_tensorrt.cuda import FakeCuda
from edgecl.runtime.fake_tensorrt.library import FakeTensorrt, fake_tensorrt

__all__ = ["FakeCuda", "FakeTensorrt", "fake_tensorrt"]
