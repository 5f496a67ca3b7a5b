"""What a bundle brings to one store: the steps that are new there, what its tasks are called there, and its pictures as candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgecl.bundle.content import Bundle, has_effect
from edgecl.bundle.matching import task_names
from edgecl.errors import BadInput
from edgecl.manifest import KeptPicture, Manifest, RecipeStep
from edgecl.memory import Candidate, is_held_out


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """The steps to add, in their order and under their names here."""

    steps: tuple[RecipeStep, ...]
    tasks: Mapping[str, str]  # task id in the bundle -> task id here, of every step of its recipe
    moves: bool  # whether a step changes the backbone at all


def arrival(bundle: Bundle, parent: Manifest, number: int) -> Arrival:
    """Compare the bundle's recipe with that of `parent`; `number` is the version that will take it in.

    Raises:
        BadInput: the bundle's adapters were learned on top of others that `parent` does not have.
    """
    contents = bundle.contents
    here = {}
    for step in contents.needed:
        own = _step_like(step, parent)
        if own is None:
            raise BadInput(
                f"the bundle was learned on top of {step.task}, which version {parent.number} of this store does not have. Apply that task "
                f"first, or pack it along where the bundle comes from: edgecl pack {contents.provenance.version} --since 0"
            )
        here[step.task] = own.task
    fresh = []
    names = task_names(contents, number)
    for step in contents.carried:
        own = _step_like(step, parent)
        taught = [entry.id for entry in contents.classes if step.task in entry.tasks]
        if own is not None and (has_effect(step, bundle.parsed[step.adapter]) or _taught_by(own, parent) >= set(taught)):
            here[step.task] = own.task  # merging it a second time would double it
        else:
            here[step.task] = names[step.task]
            fresh.append(replace(step, task=names[step.task]))
    moves = any(has_effect(step, bundle.parsed[step.adapter]) for step in fresh)
    return Arrival(steps=tuple(fresh), tasks=here, moves=moves)


def _step_like(step: RecipeStep, parent: Manifest) -> RecipeStep | None:
    wanted = step.adapter, step.coefficients
    return next((own for own in parent.recipe.steps if (own.adapter, own.coefficients) == wanted), None)


def _taught_by(step: RecipeStep, parent: Manifest) -> set[str]:
    return {entry.id for entry in parent.classes if step.task in entry.tasks}


def candidates(bundle: Bundle, tasks: Mapping[str, str], id_of: Mapping[str, str], memory: Sequence[KeptPicture]) -> list[Candidate]:
    """The bundle's pictures under the names that they have here, without those that are kept here already or are held out here."""
    known = {kept.hash for kept in memory} | {kept.source for kept in memory}
    found = []
    for there in bundle.contents.pictures:
        kept = replace(there, class_id=id_of[there.class_id], task=tasks[there.task])
        held_out = kept.role == "replay" and is_held_out(kept.source, int(kept.phash, 16), memory, kept.class_id)
        if not held_out and not {kept.hash, kept.source} & known:
            found.append(Candidate(kept, bundle.pictures[kept.hash]))
    return found
