"""Every row of the table with the configurations that it may choose from; each trained row has eight."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from grocery import configuration_hash

from continual import closed, joint, merged, product
from continual.data import Course
from continual.method import Learned, Method

ALL = (0, 1, 2)


def _each(**values: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination."""
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def _with(choices: Iterable[Mapping[str, Any]], **fixed: Any) -> list[dict[str, Any]]:
    return [{**choice, **fixed} for choice in choices]


_RIDGES = _each(ridge=[0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
_RANPAC = _each(ridge=[0.01, 0.1, 1.0, 10.0], first_session=[False, True])
_JOINT = _each(learning_rate=[3e-5, 1e-4, 3e-4, 1e-3], epochs=[4, 8])
_JOINT_LORA = _each(learning_rate=[3e-4, 1e-3, 2e-3, 4e-3], epochs=[4, 8])

_MERGED = _each(weight=[0.1, 0.25, 0.5, 1.0], closed=[False, True])
_DENSE = _each(weight=[0.25, 1.0], density=[0.2, 0.5], closed=[False, True])
_RATES = _each(learning_rate=[3e-5, 1e-4, 3e-4, 1e-3], epochs=[2, 4])
_BY_PEFT, _BY_MAGMAX = functools.partial(merged.merged, by=merged.by_peft), functools.partial(merged.merged, by=merged.by_magmax)

_LWF = _each(learning_rate=[1e-4, 3e-4], alpha=[0.3, 1.0, 3.0, 10.0])
_EWC = _each(learning_rate=[1e-4, 3e-4], ewc_lambda=[1.0, 100.0, 1e4, 1e6])


def _avalanche(strategy: str, **how: bool) -> Any:
    """Imports the library when the row is run: the table needs nothing of it."""

    def learn(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
        from continual import peers

        return peers.learned(course, settings, by=getattr(peers, strategy), **how)

    return learn


_PAPER = _each(learning_rate=[3e-4, 1e-3], memory_learning_rate=[1e-5, 3e-5, 1e-4, 3e-4])


METHODS = {
    method.name: method
    for method in (
        Method("class-means", "frozen class means (SimpleCIL)", closed.class_means, [{}], ALL),
        Method("slda", "SLDA", closed.slda, _each(shrinkage=[1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.3, 0.6, 0.9]), ALL),
        Method("ridge", "ridge regression", closed.ridge, _RIDGES, ALL),
        Method("ranpac-2000", "RanPAC, M 2000", closed.ranpac, _with(_RANPAC, m=2000), ALL),
        Method("ranpac-5000", "RanPAC, M 5000", closed.ranpac, _with(_RANPAC, m=5000), ALL),
        Method(
            "joint-probe", "joint linear probe", joint.linear_probe, _each(decay=[0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]), ALL, True
        ),
        Method("joint-lora", "joint LoRA", joint.lora, _with(_JOINT_LORA, augmented=False, closed=False), ALL, True),
        Method(
            "joint-lora-ours",
            "joint LoRA, edgecl's head and augmentation",
            joint.lora,
            _with(_JOINT_LORA, augmented=True, closed=True),
            ALL,
            joint=True,
            edgecls_head=True,
        ),
        Method("joint-full", "joint full fine-tuning", joint.full, _with(_JOINT, augmented=False, closed=False), ALL, True),
        Method(
            "joint-full-ours",
            "joint full fine-tuning, edgecl's head and augmentation",
            joint.full,
            _with(_JOINT, augmented=True, closed=True),
            ALL,
            joint=True,
            edgecls_head=True,
        ),
        Method("paper", "the seed paper's system (learn --method paper)", product.paper, _PAPER, ALL),
        Method("paper-kl", "the same, KL variant", product.paper, _with(_PAPER, divergence=0.4), ALL),
        Method("peft-cat", "independent adapters, PEFT cat", _BY_PEFT, _with(_MERGED, combination_type="cat"), edgecls_head=True),
        Method("peft-ties", "independent adapters, PEFT TIES", _BY_PEFT, _with(_DENSE, combination_type="ties"), edgecls_head=True),
        Method("peft-dare", "independent adapters, PEFT DARE", _BY_PEFT, _with(_DENSE, combination_type="dare_linear"), edgecls_head=True),
        Method("magmax", "independent adapters, MagMax", _BY_MAGMAX, _MERGED, edgecls_head=True),
        Method("sequential", "sequential fine-tuning (Avalanche Naive)", _avalanche("naive"), _RATES),
        Method("replay", "Avalanche Replay, 10 per class", _avalanche("replay"), _RATES, ALL),
        Method(
            "replay-ours",
            "Avalanche Replay, edgecl's head and augmentation",
            _avalanche("replay", augmented=True, closed=True),
            _RATES,
            ALL,
            edgecls_head=True,
        ),
        Method("lwf", "Avalanche LwF", _avalanche("lwf"), _with(_LWF, temperature=2.0, epochs=4)),
        Method("icarl", "Avalanche ICaRL", _avalanche("icarl"), _RATES),
        Method("agem", "Avalanche AGEM", _avalanche("agem"), _RATES),
        Method("ewc", "Avalanche EWC", _avalanche("ewc"), _with(_EWC, epochs=4)),
    )
}

# On the standard course its row is read from results/grocery.csv; a scenario's is learned by the same frozen configuration.
EDGECL = Method("edgecl", "edgecl", product.by_default, [{"configuration": configuration_hash()}])
IN_SCENARIOS = {method.name: method for method in (EDGECL, *(METHODS[name] for name in ("joint-full-ours", "replay-ours", "ridge")))}
