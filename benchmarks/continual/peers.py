"""Avalanche's own strategies, as its users call them, on the trained upper blocks and one linear head for all classes.

https://avalanche.continualai.org, 0.6. The library gets tokens instead of pictures and otherwise does everything itself: benchmark, buffer,
batches, loss. A strategy that keeps pictures keeps 10 per class. Answers are taken among the classes seen so far.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.utils import DataAttribute, TaskAwareClassificationDataset
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.storage_policy import ClassBalancedBuffer
from avalanche.training.supervised import AGEM, EWC, ICaRL, LwF, Naive
from torch import Tensor, nn

from continual.data import KEPT, PICTURE_BYTES, VIEWS, Course, Pictures
from continual.edgecls_head import EdgeclsHead
from continual.method import Learned, backbone_costs
from continual.upper import BATCH, WEIGHT_DECAY, Classifier, upper_parameters

Array = np.ndarray[Any, Any]
FLOAT = 4  # bytes


class Tokens(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The training pictures as Avalanche takes them: classes are numbered in the order in which they come.

    With `augmented`, each look at a picture is at one of its augmented views.
    """

    def __init__(self, course: Course, *, augmented: bool) -> None:
        self.pictures, self.augmented = course.bench.train, augmented
        self.targets = [course.classes.index(label) if label in course.classes else -1 for label in self.pictures.labels.tolist()]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        view = 1 + int(torch.randint(VIEWS, ())) if self.augmented else 0
        return self.pictures.tokens(slice(index, index + 1), view)[0], self.targets[index]


def stream_of(course: Course, pictures: Tokens) -> Any:
    """What each task brings as one experience, class after class in the order of a Python set of their numbers.

    So Avalanche's own `nc_benchmark` has them, too, where every class comes in one task only and all tasks are of one size. Each picture knows
    its `number` among the training pictures.
    """
    n = len(pictures)
    labels = DataAttribute(ConstantSequence(0, n), "targets_task_labels", use_in_getitem=True)
    own = [DataAttribute(pictures.targets, "targets"), labels, DataAttribute(list(range(n)), "number")]
    whole = TaskAwareClassificationDataset([pictures], data_attributes=own)
    parts = []
    for task, classes in enumerate(course.tasks):
        brought, targets = course.lesson(task), {course.classes.index(c) for c in classes}
        parts.append(whole.subset([int(i) for target in targets for i in brought if pictures.targets[i] == target]))
    stream = with_task_labels(with_classes_timeline(benchmark_from_datasets(train=parts))).train_stream
    for experience in stream:  # iCaRL asks for what only nc_benchmark says
        experience.benchmark = SimpleNamespace(
            n_classes_per_exp=[len(task) for task in course.tasks], classes_order=list(range(len(course.classes)))
        )
    return stream


Strategy = Callable[[Classifier, Mapping[str, Any], Mapping[str, Any], Course], Any]


def naive(model: Classifier, common: Mapping[str, Any], settings: Mapping[str, Any], course: Course) -> Any:
    """Sequential fine-tuning: nothing is done against forgetting."""
    return Naive(**common)


def replay(model: Classifier, common: Mapping[str, Any], settings: Mapping[str, Any], course: Course) -> Any:
    """Experience replay; `Replay` itself would share the room for all classes among those seen so far, more than 10 for the first ones."""
    classes = len(course.classes)
    policy = ClassBalancedBuffer(max_size=KEPT * classes, adaptive_size=False, total_num_classes=classes)
    return Naive(**common, plugins=[ReplayPlugin(mem_size=KEPT * classes, storage_policy=policy)])


def lwf(model: Classifier, common: Mapping[str, Any], settings: Mapping[str, Any], course: Course) -> Any:
    """Learning without Forgetting."""
    return LwF(**common, alpha=settings["alpha"], temperature=settings["temperature"])


def ewc(model: Classifier, common: Mapping[str, Any], settings: Mapping[str, Any], course: Course) -> Any:
    """Elastic weight consolidation."""
    return EWC(**common, ewc_lambda=settings["ewc_lambda"], mode="separate")


def agem(model: Classifier, common: Mapping[str, Any], settings: Mapping[str, Any], course: Course) -> Any:
    """Averaged gradient episodic memory, with 10 patterns per class as the seed paper has 100 for each task of ten."""
    return AGEM(**common, patterns_per_exp=KEPT * len(course.tasks[0]), sample_size=64)


def icarl(model: Classifier, common: Mapping[str, Any], settings: Mapping[str, Any], course: Course) -> Any:
    """iCaRL: herded pictures, distillation, and the nearest class mean for an answer."""
    rest = {name: value for name, value in common.items() if name not in ("model", "criterion")}
    body = _Features(model)
    return ICaRL(
        feature_extractor=body, classifier=model.head, memory_size=KEPT, buffer_transform=None, fixed_memory=False, **rest
    )  # fmt: skip


class _Features(nn.Module):
    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.features(tokens)


def learned(
    course: Course, settings: Mapping[str, Any], *, by: Strategy, augmented: bool = False, closed: bool = False
) -> Iterator[Learned]:
    """Train on one experience after the other; with `closed` the head is edgecl's."""
    torch.manual_seed(course.seed)
    random.seed(course.seed)  # A-GEM picks its patterns with it
    bench = course.bench
    vit = bench.vit()
    model = Classifier(vit, bench.first_block, len(course.classes))
    parameters = [*upper_parameters(vit, bench.first_block), *model.head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings["learning_rate"], weight_decay=WEIGHT_DECAY)
    common = {
        "model": model, "optimizer": optimizer, "criterion": nn.CrossEntropyLoss(), "train_mb_size": BATCH, "train_epochs": settings["epochs"],
        "eval_mb_size": 64, "device": "cpu", "evaluator": None,
    }  # fmt: skip
    strategy = by(model, common, settings, course)
    taught, head = Tokens(course, augmented=augmented), EdgeclsHead(bench, vit)
    for task, experience in enumerate(stream_of(course, taught)):
        if closed:
            taught.augmented = False
            head.before(course.taught(task), *_kept(strategy, course, task))
            taught.augmented = augmented
        strategy.train(experience, num_workers=0)
        numbers = np.array(course.seen(task))
        costs = backbone_costs(course, len(course.classes) * vit.width)
        taught.augmented = False  # for what looks at pictures without training on them
        answer = head.after() if closed else _by_network(strategy, numbers)
        taught.augmented = augmented
        yield Learned(answer, _kept_bytes(strategy, model, len(numbers)), costs)


def _by_network(strategy: Any, numbers: Array) -> Callable[[Pictures], Array]:
    def answer(pictures: Pictures) -> Array:
        strategy.model.eval()
        with torch.no_grad():
            parts = [strategy.model(pictures.tokens(slice(i, i + 64))).float().numpy() for i in range(0, len(pictures), 64)]
        return np.asarray(numbers[np.concatenate(parts)[:, : len(numbers)].argmax(axis=1)])

    return answer


def _kept(strategy: Any, course: Course, task: int) -> tuple[list[Tensor], Array]:
    """Tokens and class numbers of the buffer's pictures, without those that the task brings again."""
    buffer = next(plugin for plugin in strategy.plugins if isinstance(plugin, ReplayPlugin)).storage_policy.buffer
    brought = set(course.lesson(task).tolist())
    old = [i for i in range(len(buffer)) if buffer.number[i] not in brought]
    return [buffer[i][0] for i in old], np.array([course.classes[int(buffer.targets[i])] for i in old], np.intp)


def _kept_bytes(strategy: Any, model: nn.Module, classes: int) -> int:
    """Pictures for those that keep some; of LwF the previous model's trained part; of EWC each task's importances and weights."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    plugins = {type(plugin).__name__: plugin for plugin in strategy.plugins}
    if "EWCPlugin" in plugins:
        return FLOAT * 2 * trained * len(plugins["EWCPlugin"].importances)
    if plugins.keys() & {"ReplayPlugin", "AGEMPlugin", "_ICaRLPlugin"}:
        return KEPT * PICTURE_BYTES * classes
    return FLOAT * trained if isinstance(strategy, LwF) else 0
