"""Locks between processes, threads and nested calls."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgecl.errors import BadInput, EdgeclError, StoreBusy, StoreDamaged
from edgecl.store import Store
from edgecl.store import store as store_module
from edgecl.store.locks import exclusive, holder, unused
from tests.store.builders import learn, learn_draft

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from edgecl.store import Store
store = Store.open(Path(sys.argv[1]))
lock = getattr(store, sys.argv[2])
with lock(*map(int, sys.argv[3:])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def elsewhere(store: Store, lock: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock of the store during the body."""
    command = [sys.executable, "-c", HOLD, str(store.root), lock, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


def test_a_second_learner_is_refused_with_the_first_ones_name(store: Store) -> None:
    """The message names process, command and start; once the process is gone, so is the lock."""
    with elsewhere(store, "learning_lock") as process:
        with pytest.raises(StoreBusy) as caught, store.learning_lock():
            pass
        assert f"the store 'model' is being changed by process {process.pid} (-c " in str(caught.value)
        assert ", since 20" in str(caught.value)
        with pytest.raises(StoreBusy):
            store.commit(learn_draft(store, ["sprite"]))
    with store.learning_lock():
        pass
    assert store.numbers() == [0, 1]


def test_a_killed_learner_leaves_no_lock(store: Store) -> None:
    """The lock goes with its process, without any clean-up."""
    with elsewhere(store, "learning_lock") as process:
        process.kill()
        process.wait(timeout=20)
        with store.learning_lock():
            pass


def test_reading_and_rolling_back_go_on_while_somebody_learns(store: Store) -> None:
    """Only what adds or removes versions needs the learning lock; a pointer moves without it."""
    with elsewhere(store, "learning_lock"):
        assert store.promote(0, expected=1)
        assert store.current == 0
        store.mark_good(0)
        assert store.manifest(1).number == 1


def test_weights_are_not_rebuilt_while_somebody_learns(store: Store) -> None:
    """Promoting a version without weights has to wait."""
    (store.folder(0) / "weights.safetensors").unlink()
    with elsewhere(store, "learning_lock"), pytest.raises(StoreBusy, match="is being changed by process"):
        store.promote(0, expected=1)
    assert store.current == 1


def test_the_pointer_lock_is_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A held pointer.lock delays, and is an error only after the waiting time."""
    monkeypatch.setattr(store_module, "POINTER_WAIT_S", 0.1)
    with elsewhere(store, "pointer_lock"), pytest.raises(StoreBusy, match="is being changed by process"):
        store.promote(0, expected=1)
    assert store.promote(0, expected=1)


def test_the_learning_lock_nests_in_its_thread_only(store: Store) -> None:
    """commit inside learning_lock works; another thread of the same process is refused."""
    refused: list[EdgeclError] = []

    def other() -> None:
        try:
            with store.learning_lock():
                pass
        except StoreBusy as error:
            refused.append(error)

    with store.learning_lock():
        learn(store, "sprite")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert f"process {os.getpid()} " in str(refused[0])
    other()
    assert len(refused) == 1


def test_the_lock_is_free_after_an_exception(store: Store) -> None:
    """An error inside gives the lock back."""
    with pytest.raises(RuntimeError, match="inside"), store.learning_lock():
        raise RuntimeError("inside")
    with store.learning_lock():
        pass


def test_a_version_in_use_is_seen_by_others(store: Store) -> None:
    """`use` in one process is what gc asks for in another."""
    with elsewhere(store, "use", "0"):
        with unused(store.folder(0)) as free:
            assert not free
        with unused(store.folder(1)) as free:
            assert free
    with unused(store.folder(0)) as free:
        assert free


def test_a_version_that_vanishes_is_not_used(store: Store) -> None:
    """A folder without a manifest cannot be used."""
    from edgecl.store.locks import in_use

    with pytest.raises(StoreDamaged, match="version 000009 cannot be used: No such file"), in_use(store.root / "versions" / "000009"):
        pass


def test_garbage_in_a_lock_file_is_no_error(tmp_path: Path) -> None:
    """The holder's name is a courtesy."""
    path = tmp_path / "learn.lock"
    path.write_text("{")
    assert holder(path) == "another process, which does not say its name"
    with exclusive(path, wait_s=0):
        assert holder(path).startswith(f"process {os.getpid()} (")
    assert path.read_bytes() == b""


def test_a_lock_that_is_a_link(tmp_path: Path) -> None:
    """Locking through a link would empty its target, so the link is refused and the target stays as it was."""
    (tmp_path / "precious").write_text("content")
    (tmp_path / "learn.lock").symlink_to("precious")
    with pytest.raises(StoreDamaged, match=r"learn.lock is a link"), exclusive(tmp_path / "learn.lock", wait_s=0):
        pass
    assert (tmp_path / "precious").read_text() == "content"


def test_a_lock_that_may_not_be_opened(tmp_path: Path) -> None:
    """A lock file that is a folder, or lies in none, ends in a sentence."""
    (tmp_path / "learn.lock").mkdir()
    with (
        pytest.raises((StoreDamaged, BadInput), match=r"learn.lock is a link or no file.*Delete it"),
        exclusive(tmp_path / "learn.lock", wait_s=0),
    ):
        pass
