"""A page in front of a small store and a made-up app."""

from collections.abc import Iterator

import pytest

from edgecl.runtime.fake import FakeLiveView
from edgecl.store import Store
from edgecl.web.limits import Limits, Rate
from edgecl.web.server import Listening, PageServer
from tests.web.client import Client, frame, prediction

PATIENT = Limits(rates={kind: Rate(burst=100_000, per_second=1000.0) for kind in ("look", "change", "predict", "login")})


@pytest.fixture
def view(store: Store) -> FakeLiveView:
    """An app with the camera `bench`, which shows frame 0, answered `red` by the current version."""
    view = FakeLiveView(("bench",))
    view.show("bench", frame(0), prediction(0, version=store.current or 0))
    view.answer_ask = lambda rgb: prediction(0, "green")
    return view


@pytest.fixture
def page(store: Store, view: FakeLiveView) -> Iterator[PageServer]:
    """Its page, on a free port of this machine; nobody is asked to wait."""
    with PageServer(store, view, Listening(), limits=PATIENT, watch_every_s=3600.0) as server:
        yield server


@pytest.fixture
def client(page: PageServer) -> Client:
    """A browser on this machine."""
    return Client(page)
