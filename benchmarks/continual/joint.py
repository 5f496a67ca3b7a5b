"""What could be had if every picture of every class were kept: all classes learned at once. The order of the tasks plays no part in it.

Rows of orders 1 and 2 are other seeds, so that a spread can be seen.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from continual.data import PICTURE_BYTES, Course, Pictures
from continual.logistic import logistic_regression
from continual.method import Learned, backbone_costs
from continual.upper import Classifier, adapter_of, features, fit, upper_parameters
from edgecl.backbone import build
from edgecl.head import fit_head
from edgecl.merge import merge

Array = np.ndarray[Any, Any]


def linear_probe(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """Multinomial logistic regression on frozen features, trained to the end by L-BFGS."""
    taught, numbers = course.everything, np.array(sorted(course.classes))
    weight, bias = logistic_regression(taught.features, np.searchsorted(numbers, taught.labels), decay=settings["decay"])
    yield _learned(course, taught, lambda pictures: pictures.features @ weight.T + bias)


def lora(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """One adapter of edgecl's shape for all classes."""
    bench, taught = course.bench, course.everything
    training = {name: settings[name] for name in ("learning_rate", "epochs", "augmented")}
    adapter, head, numbers = adapter_of(bench, taught, **training, seed=_seed(course))
    vit = build(bench.architecture, merge(bench.state, [(adapter, {"*": 1.0})]))
    yield _learned(course, taught, _answers(course, vit, taught, head, numbers, closed=settings["closed"]))


def full(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """Full fine-tuning of the upper blocks, norms and biases included."""
    bench, taught = course.bench, course.everything
    torch.manual_seed(_seed(course))
    vit, numbers = bench.vit(), np.array(sorted(course.classes))
    model = Classifier(vit, bench.first_block, len(numbers))
    training = {name: settings[name] for name in ("learning_rate", "epochs", "augmented")}
    parameters = upper_parameters(vit, bench.first_block)
    fit(model, parameters, taught, np.searchsorted(numbers, taught.labels), **training, seed=_seed(course))
    yield _learned(course, taught, _answers(course, vit, taught, model.head, numbers, closed=settings["closed"]))


def _seed(course: Course) -> int:
    return course.seed + course.order


def _answers(course: Course, vit: Any, taught: Pictures, head: nn.Linear, numbers: Array, *, closed: bool) -> Any:
    """By the trained head, or by edgecl's closed-form one on the trained features."""
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    if closed:
        fitted = fit_head(features(vit, course.bench, taught), np.searchsorted(numbers, taught.labels), capacity=len(numbers))
        weight, bias = fitted.weight.astype(np.float32), fitted.bias.astype(np.float32)
    return lambda pictures: features(vit, course.bench, pictures) @ weight.T + bias


def _learned(course: Course, taught: Pictures, answer: Any) -> Learned:
    return Learned(answer, PICTURE_BYTES * len(taught), backbone_costs(course, len(course.classes) * course.bench.architecture.width))
