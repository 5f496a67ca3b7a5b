"""The file through which a camera app asks a learner to hold back."""

import json
import os
from pathlib import Path

import pytest

from edgecl.runtime.latency import LatencyReport, latency_file, read_latency
from edgecl.sensors import AppLatency


def test_what_the_app_tells_the_learner_reads(tmp_path: Path) -> None:
    """The 95th percentile of the last frames and the budget; written once a second, gone when the app ends."""
    now = [100.0]
    path = latency_file(tmp_path / "model", tmp_path)
    tell = LatencyReport(path, 33.0, clock=lambda: now[0])
    tell(10.0)
    assert read_latency(path, tmp_path, clock=lambda: now[0]) == AppLatency(10.0, 33.0)
    for _ in range(99):
        tell(50.0)
    assert read_latency(path, tmp_path, clock=lambda: now[0]) == AppLatency(10.0, 33.0)
    now[0] += 1.0
    tell(50.0)
    assert read_latency(path, tmp_path, clock=lambda: now[0]) == AppLatency(50.0, 33.0)
    tell.close()
    assert list(tmp_path.iterdir()) == []
    assert read_latency(path, tmp_path) is None


def test_each_store_has_its_own_file(tmp_path: Path) -> None:
    """By the store's real place, so a link to it is the same store."""
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    assert latency_file(tmp_path / "model") == latency_file(tmp_path / "link")
    assert latency_file(tmp_path / "model") != latency_file(tmp_path / "other")


@pytest.mark.parametrize("age", [-1.0, 10.5])
def test_what_is_old_or_of_another_boot_does_not_count(tmp_path: Path, age: float) -> None:
    """An app that stopped speaking holds nobody back."""
    path = tmp_path / "app.json"
    LatencyReport(path, 33.0, clock=lambda: 100.0)(50.0)
    assert read_latency(path, tmp_path, clock=lambda: 100.0 + age) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"at_s": "now"}', '{"at_s": 1, "latency_p95_ms": 1, "budget_ms": 1}', "[" * 5000])
def test_garbage_does_not_count(tmp_path: Path, content: str) -> None:
    """Whatever stands there, learning goes on."""
    path = tmp_path / "app.json"
    path.write_text(content)
    assert read_latency(path, tmp_path, clock=lambda: 1.0) is None


def test_links_and_pipes_are_not_read(tmp_path: Path) -> None:
    """/dev/shm is everybody's."""
    good = tmp_path / "good.json"
    LatencyReport(good, 33.0, clock=lambda: 1.0)(50.0)
    link, pipe = tmp_path / "link.json", tmp_path / "pipe.json"
    link.symlink_to(good)
    os.mkfifo(pipe)
    assert read_latency(link, tmp_path, clock=lambda: 1.0) is None
    assert read_latency(pipe, tmp_path, clock=lambda: 1.0) is None
    assert json.loads(good.read_text())["format"] == "edgecl.app/1"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a file away")
def test_what_another_user_says_does_not_count(tmp_path: Path) -> None:
    """Only we and the owner of the store are believed."""
    path = tmp_path / "app.json"
    LatencyReport(path, 33.0, clock=lambda: 1.0)(50.0)
    os.chown(path, 12345, 12345)
    assert read_latency(path, tmp_path, clock=lambda: 1.0) is None
    os.chown(tmp_path, 12345, 12345)
    assert read_latency(path, tmp_path, clock=lambda: 1.0) == AppLatency(50.0, 33.0)


def test_a_camera_does_not_stop_because_nobody_can_be_told(tmp_path: Path) -> None:
    """A missing folder is no error."""
    tell = LatencyReport(tmp_path / "missing" / "app.json", 33.0)
    tell(50.0)
    tell.close()
