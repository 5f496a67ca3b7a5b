"""The app's figures in Prometheus' text format, read at the moment of the request."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from edgecl import __version__
from edgecl.runtime.live import LiveStatus, LiveView
from edgecl.web.board import Board, board


def exposition(view: LiveView, store: Path) -> bytes:
    """Everything that `/metrics` says."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(view.status(), board(store)))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, live: LiveStatus, board: Board) -> None:
        self._live, self._board = live, board

    def collect(self) -> Iterator[Metric]:
        live = self._live
        yield InfoMetricFamily(
            "edgecl_app", "What answers here", value={"edgecl": __version__, "runtime": live.runtime, "provider": live.provider}
        )
        yield GaugeMetricFamily("edgecl_version", "Number of the version that answers", live.version)
        yield GaugeMetricFamily("edgecl_uptime_seconds", "Since the app began", live.uptime_s)
        yield CounterMetricFamily("edgecl_swaps", "Versions that replaced another one without a stop", live.swaps)
        yield from _gauges(
            ("edgecl_swap_fault", "1 while the newest version could not be served", float(live.last_swap_fault is not None)),
            ("edgecl_swap_gap_seconds", "Between the last answer of a version and the first of the next", _seconds(live.last_swap_gap_ms)),
        )
        latency = GaugeMetricFamily("edgecl_latency_seconds", "From the decoded frame to the answer", labels=["quantile"])
        for quantile, value_ms in (("0.5", live.latency_p50_ms), ("0.95", live.latency_p95_ms)):
            if value_ms is not None:
                latency.add_metric([quantile], value_ms / 1000)
        yield latency
        yield from self._cameras()
        yield from _gauges(
            ("edgecl_temperature_celsius", "Of the hottest zone", self._board.temperature_c),
            ("edgecl_memory_available_bytes", "Of the machine", self._board.memory_available_bytes),
            ("edgecl_memory_total_bytes", "Of the machine", self._board.memory_total_bytes),
            ("edgecl_process_resident_bytes", "Memory of the app", self._board.process_bytes),
            ("edgecl_disk_free_bytes", "Where the store lies", self._board.disk_free_bytes),
        )

    def _cameras(self) -> Iterator[Metric]:
        cameras = self._live.cameras
        for name, words in (
            ("frames", "Frames that were answered"),
            ("dropped", "Frames that a newer one replaced before they were answered"),
            ("skipped", "Frames that could not be decoded"),
            ("reconnects", "Times that the camera was opened again"),
        ):
            counter = CounterMetricFamily(f"edgecl_{name}", words, labels=["camera"])
            for camera, status in cameras.items():
                counter.add_metric([camera], getattr(status, name))
            yield counter
        rate = GaugeMetricFamily("edgecl_frame_rate_hertz", "Answers per second", labels=["camera"])
        age = GaugeMetricFamily("edgecl_frame_age_seconds", "Since the newest frame came", labels=["camera"])
        running = GaugeMetricFamily("edgecl_camera_running", "1 while the camera gives frames", labels=["camera"])
        for camera, status in cameras.items():
            rate.add_metric([camera], status.fps)
            running.add_metric([camera], float(status.state == "running"))
            if status.frame_age_s is not None:
                age.add_metric([camera], status.frame_age_s)
        yield from (rate, age, running)


def _gauges(*rows: tuple[str, str, float | None]) -> Iterator[Metric]:
    """A gauge for each value that is known."""
    for name, words, value in rows:
        if value is not None:
            yield GaugeMetricFamily(name, words, value)


def _seconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1000
