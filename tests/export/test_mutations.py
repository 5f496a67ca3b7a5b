"""Each safety rule of the engines is held by a test: without the rule, one fails.

A copy of the sources has one line changed, and the tests named beside the change run over it in a process of their own.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = "tests/export/test_engine.py"


@dataclass(frozen=True)
class Mutation:
    """One rule, and the line that is it."""

    rule: str
    path: str
    line: str
    changed: str
    tests: str  # pytest's -k, within tests/export/test_engine.py

    def applied(self, folder: Path) -> None:
        """Change the copy in `folder`; the line must be there exactly once, else this table is out of date."""
        path = folder / self.path
        source = path.read_text(encoding="utf-8")
        assert source.count(self.line) == 1, f"{self.path} has {source.count(self.line)} times: {self.line}"
        path.write_text(source.replace(self.line, self.changed), encoding="utf-8")


MUTATIONS = (
    Mutation("the self-test", "edgecl/runtime/trt.py", "    if not test.passed:\n", "    if False:\n", "test_selftest_failure"),
    Mutation("the missing-weights check", "edgecl/runtime/refit.py", "    if missing:\n", "    if False:\n", "lists_missing"),
    Mutation(
        "the full-state rule: only what the last adapter changed is set",
        "edgecl/runtime/refit.py",
        "for name in names if name in arrays}\n",
        'for name in names if name in arrays and name.startswith(("blocks.1", "head"))}\n',
        "test_every_weight_is_set",
    ),
    Mutation("the refit's own answer", "edgecl/runtime/refit.py", "if not refitter.refit_cuda_engine():", "if refitter.refit_cuda_engine() is None:", "halfway"),
    Mutation("a refused weight", "edgecl/runtime/refit.py", "    if refused:\n", "    if False:\n", "refuses_a_weight"),
    Mutation("the names of the weights", "edgecl/runtime/refit.py", "    if absent:\n", "    if False:\n", "loses_a_weight"),
    Mutation("the plan's hash", "edgecl/runtime/engines.py", "or file_sha256(path) != facts.sha256", "", "test_corrupted_plan and bit"),
    Mutation("the GPU", "edgecl/runtime/engines.py", "    if facts.gpu != wanted.gpu:\n", "    if False:\n", "test_wrong_gpu"),
    Mutation("TensorRT's version", "edgecl/runtime/engines.py", "    if facts.tensorrt != wanted.tensorrt:\n", "    if False:\n", "test_another_tensorrt"),
    Mutation("the capacity", "edgecl/runtime/engines.py", "    if facts.capacity != wanted.capacity:\n", "    if False:\n", "grown_capacity"),
    Mutation("the backbone", "edgecl/runtime/engines.py", " or facts.base != wanted.base:", ":", "test_another_backbone"),
    Mutation("a copy beside what serves", "edgecl/runtime/trt.py", "        self.adopt(self.prepare(folder))", "        self.close()\n        self.adopt(self.prepare(folder))", "test_fallback"),
    Mutation("failures are remembered", "edgecl/runtime/trt.py", "        if earlier is not None:\n", "        if False:\n", "test_selftest_failure"),
    Mutation("nothing learned in a plan", "export/edgecl_export/engine.py", "to_deployment(store.base(), *empty, architecture)", "to_deployment(store.merged_state(store.manifest(self.number).recipe), *empty, architecture)", "holds_nothing"),
    Mutation("noise for what has no variety", "export/edgecl_export/to_tensorrt.py", "np.ptp(array) == 0 or", "False or", "stand_ins_have"),
    Mutation("exactly our weights", "export/edgecl_export/to_tensorrt.py", "        config.set_flag(trt.BuilderFlag.REFIT)\n        return\n", "        pass\n", "old_releases"),
    Mutation("what refitting may cost", "export/edgecl_export/engine.py", "REFIT_COST = 1.10", "REFIT_COST = 1.20", "auto_takes_a_frozen"),
    Mutation("fp32 without TF32", "export/edgecl_export/to_tensorrt.py", "        config.clear_flag(trt.BuilderFlag.TF32)\n", "        pass\n", "fp32_means"),
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, learned: Path) -> Path:
    """A copy of what the tests need, the taught store among it."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("edgecl", "export", "devices", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "golden"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(learned, folder / "learned", symlinks=True)
    return folder


def run(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """pytest over the copy's own sources."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "export")])}
    environment |= {"EDGECL_LEARNED": str(folder / "learned"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", ENGINE, "-k", tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_every_line_is_there() -> None:
    """The table speaks of the sources as they are."""
    for mutation in MUTATIONS:
        assert (ROOT / mutation.path).read_text(encoding="utf-8").count(mutation.line) == 1, mutation.rule


@pytest.mark.slow
def test_unchanged_sources_pass(tree: Path) -> None:
    """Otherwise a failure below would say nothing; and the copy is what runs, not the clone."""
    found = run(tree, " or ".join(f"({mutation.tests})" for mutation in MUTATIONS))
    assert found.returncode == 0, found.stdout[-2000:]
    where = subprocess.run(
        [sys.executable, "-c", "import edgecl.runtime.refit as r, edgecl_export.engine as e; print(r.__file__, e.__file__)"],
        cwd=tree, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "export")])}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(Path(name).is_relative_to(tree) for name in where.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_without_the_rule_a_test_fails(tree: Path, mutation: Mutation) -> None:
    """The named tests fail, by an assertion or an error of theirs and not because the sources cannot be imported."""
    original = (tree / mutation.path).read_text(encoding="utf-8")
    try:
        mutation.applied(tree)
        found = run(tree, mutation.tests)
    finally:
        (tree / mutation.path).write_text(original, encoding="utf-8")
    assert found.returncode == 1, found.stdout[-2000:]
    assert "1 failed" in found.stdout
