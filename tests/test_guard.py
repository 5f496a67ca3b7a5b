"""When learning waits, holds back, saves and stops. Clock, sleep and sensors are told what to do."""

import os
import signal
import threading
from datetime import datetime, time

import pytest

from edgecl.errors import Interrupted
from edgecl.guard import Guard, listening, seconds_until
from edgecl.sensors import AppLatency, FakeSensors
from edgecl.settings import GuardSettings


class Bench:
    """A guard with a clock that only moves when somebody sleeps or `step` says so."""

    def __init__(self, sensors: FakeSensors | None = None, **settings: float) -> None:
        self.now_s, self.slept, self.saved, self.said = 1000.0, [], 0, []  # type: ignore[var-annotated]
        self.on_sleep = lambda: None
        self.sensors = sensors or FakeSensors()
        self.guard = Guard(
            GuardSettings(**settings),  # type: ignore[arg-type]
            self.sensors,
            say=self.said.append,
            clock=lambda: self.now_s,
            sleep=self.sleep,
        )
        self.guard.begin()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        self.on_sleep()

    def save(self) -> None:
        self.saved += 1

    def step(self, seconds: float = 2.0, done: int = 1, total: int = 9) -> bool:
        """One step of training that takes so long, then the guard's turn."""
        self.now_s += seconds
        return self.guard.between_steps(done, total, self.save)


def test_a_quiet_board_costs_nothing() -> None:
    """Nothing is slept, said or recorded, and the checkpoint is written once a minute."""
    bench = Bench()
    for _ in range(65):
        assert not bench.step()
    assert (bench.saved, bench.slept, bench.said, bench.guard.incidents) == (2, [], [], [])


def test_a_stop_saves_first_and_says_how_to_go_on() -> None:
    """Between two steps; the message holds how far it came and why."""
    bench = Bench()
    bench.guard.stop("SIGTERM")
    with pytest.raises(
        Interrupted, match=r"stopped after 3 of 9 steps: SIGTERM. What was learned so far is kept. The same command goes on"
    ):
        bench.step(done=3)
    assert bench.saved == 1
    with pytest.raises(Interrupted, match=r"stopped: SIGTERM. Nothing is lost"):
        bench.guard.check()


def test_max_minutes_end_the_work_resumably() -> None:
    """Counted from where the work began, not from where the program began to wait."""
    bench = Bench(max_minutes=1)
    bench.guard.check()
    bench.step(59)
    with pytest.raises(Interrupted, match=r"the 1 minutes of --max-minutes are over"):
        bench.step(1)
    waiting = Guard(GuardSettings(max_minutes=1), clock=lambda: bench.now_s, sleep=bench.sleep)
    waiting.wait(3600)
    assert waiting.worked_s() == 0


def test_a_hot_board_is_waited_for() -> None:
    """From hot_c on, until cool_c; the checkpoint is written before, and how long it took is recorded."""
    bench = Bench(FakeSensors(heat_c=79.9))
    bench.step()
    bench.sensors.heat_c = 80.0

    def cool() -> None:
        assert bench.sensors.heat_c is not None
        assert bench.saved == 1
        bench.sensors.heat_c -= 1.0

    bench.on_sleep = cool
    assert not bench.step()
    assert bench.sensors.heat_c == 75.0
    assert bench.said[0] == "the board has 80 °C; learning waits until it has 75"
    assert bench.guard.incidents == ["waited 5 s for the board to cool down from 80 °C"]


def test_a_stop_is_heard_while_the_board_is_hot() -> None:
    """A board that never cools down can still be told to stop."""
    bench = Bench(FakeSensors(heat_c=90.0))
    bench.on_sleep = lambda: bench.guard.stop("Ctrl-C")
    bench.step()
    with pytest.raises(Interrupted, match=r"Ctrl-C"):
        bench.step()


def test_little_memory_is_waited_for_and_then_saved() -> None:
    """Within the patience nothing changes; after it the training is asked to get along with less."""
    bench = Bench(FakeSensors(memory=100 * 2**20))

    def free() -> None:
        bench.sensors.memory = 300 * 2**20

    bench.on_sleep = free
    assert not bench.step()
    assert bench.guard.incidents == ["waited 1 s for memory, of which 100 MiB were available"]
    bench.on_sleep = lambda: None
    bench.sensors.memory = 255 * 2**20
    assert bench.step()
    assert bench.guard.incidents[1:] == ["waited 60 s for memory, of which 255 MiB were available"]
    assert bench.saved == 2


def test_the_app_comes_first() -> None:
    """While it is over its budget more and more is slept after each step, at most eight times its duration or 5 s; then less and less."""
    bench = Bench(FakeSensors(latency=AppLatency(40.0, 33.0)))
    for _ in range(8):
        bench.step(1.0)
    assert bench.slept[0] == pytest.approx(0.5 * 1.0)
    assert max(bench.slept) == 5.0
    assert sorted(bench.slept) == bench.slept
    bench.sensors.latency = AppLatency(20.0, 33.0)
    for _ in range(8):
        bench.step(1.0)
    bench.slept.clear()
    bench.step(1.0)
    assert bench.slept == []
    assert bench.guard.incidents == ["the camera app needs 40 ms of its 33 ms budget; learning goes slower"]


def test_sensors_are_looked_at_once_a_second() -> None:
    """However short the steps are."""

    class Counting(FakeSensors):
        looks = 0

        def temperature_c(self) -> float | None:
            self.looks += 1
            return None

    sensors = Counting()
    bench = Bench(sensors)
    for _ in range(40):
        bench.step(0.125)
    assert sensors.looks == 5


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_signals_become_a_stop(number: signal.Signals, name: str) -> None:
    """The first one asks, and outside of the body everything is as before."""
    guard, before = Guard(), [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with listening(guard):
        os.kill(os.getpid(), number)
        assert guard.why_stop() == name
        assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_ctrl_c_ends_at_once() -> None:
    """Whoever does not want to wait for the step need not."""
    guard = Guard()

    def press_twice() -> None:
        with listening(guard):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert guard.why_stop() == "Ctrl-C"


def test_a_thread_listens_to_nothing() -> None:
    """Signals reach the main thread only; a learn in another one works without."""
    reached = []

    def body() -> None:
        with listening(Guard()):
            reached.append(True)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert reached == [True]


@pytest.mark.parametrize(
    ("now", "seconds"),
    [("01:59:00", 60), ("02:00:00", 0), ("02:00:59", 0), ("02:01:00", 86_340), ("23:00:00", 10_800)],
)
def test_the_next_two_o_clock(now: str, seconds: float) -> None:
    """Today, now, or tomorrow."""
    assert seconds_until(time(2), datetime.fromisoformat(f"2025-01-31T{now}")) == seconds
