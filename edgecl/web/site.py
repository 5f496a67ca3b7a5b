"""What the page stands on: the store, the running app, and everything that lives as long as the page does."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from edgecl.errors import UsageError
from edgecl.preprocess import geometry_of
from edgecl.runtime.live import LiveView
from edgecl.store import Store
from edgecl.store.inbox import Inbox
from edgecl.web.access import Sessions, own_names
from edgecl.web.alarms import LOOK_EVERY_S, Watch
from edgecl.web.frames import Frames
from edgecl.web.learning import Learning, missing_for_learning
from edgecl.web.limits import Limits, Turnstile
from edgecl.web.reporting import Reporting


@dataclass(frozen=True, kw_only=True)
class Site:
    """One page's parts. Made by `site_of`; `close` ends what runs in it."""

    store: Store
    view: LiveView
    inbox: Inbox
    learning: Learning
    reporting: Reporting
    frames: Frames
    watch: Watch
    sessions: Sessions
    turnstile: Turnstile
    limits: Limits
    names: frozenset[str]  # under which this machine may be asked
    private: bool  # looking needs the token, too
    no_teach: str  # why nothing can be taught here, or empty
    closing: threading.Event  # the page ends: whoever waits for something is answered now

    def camera(self, number: int) -> str:
        """The name of a camera by its place.

        Raises:
            UsageError: there are fewer.
        """
        names = self.view.cameras()
        if number >= len(names):
            raise UsageError(f"there is no camera {number}; this app has {len(names)}, counted from 0.")
        return names[number]

    def close(self) -> None:
        """Answer whoever waits; end the watch, a learn that goes on, and a report."""
        self.closing.set()
        self.watch.stop()
        self.learning.close()
        self.reporting.close()


def site_of(
    store: Store,
    view: LiveView,
    *,
    names: Iterable[str] = (),
    private: bool = False,
    limits: Limits | None = None,
    watch_every_s: float = LOOK_EVERY_S,
) -> Site:
    """The parts for a store and a running app."""
    limits, inbox, reporting = limits or Limits(), Inbox(store.root), Reporting(store)
    return Site(
        store=store,
        view=view,
        inbox=inbox,
        learning=Learning(store, inbox, latency_ms=lambda: view.status().latency_p50_ms, written=reporting.write_after_learning),
        reporting=reporting,
        frames=Frames(geometry_of(store.facts.architecture).keep_short),
        watch=Watch(view, every_s=watch_every_s),
        sessions=Sessions(),
        turnstile=Turnstile(limits.rates),
        limits=limits,
        names=own_names(names),
        private=private,
        no_teach=missing_for_learning(),
        closing=threading.Event(),
    )
