"""HTTP for clients that may be slow, on purpose or not: each step of a connection has its time, and each client its number of them.

uvicorn by itself waits for ever for the rest of a header, and for a client to take its answer.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from edgecl.web.limits import Limits, neighbourhood


def patient_protocol(limits: Limits) -> type[H11Protocol]:
    """The protocol class for uvicorn's `http=` with these limits."""

    class Patient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if self._neighbours() > limits.connections_each:
                transport.abort()
                return
            self._give(limits.request_s)

        def _neighbours(self) -> int:
            """Connections from where this one comes, itself among them."""
            clients = [getattr(other, "client", None) for other in self.connections]
            homes = [neighbourhood(client[0]) for client in clients if client]
            return homes.count(neighbourhood(self.client[0])) if self.client else 0

        def _give(self, seconds: float) -> None:
            self._relax()
            self._deadline = self.loop.call_later(seconds, self._out_of_time)

        def _relax(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _out_of_time(self) -> None:
            if self.transport is not None:
                self.transport.abort()

        def _answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def data_received(self, data: bytes) -> None:
            if self._deadline is None and not self._answering():
                self._give(limits.request_s)
            super().data_received(data)
            if self._answering():
                self._relax()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._give(limits.take_s)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._relax()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self._give(limits.take_s)  # closing waits until the client has taken the rest

        def connection_lost(self, exc: Exception | None) -> None:
            self._relax()
            super().connection_lost(exc)

    return Patient
