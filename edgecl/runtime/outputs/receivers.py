"""Who can be told of an event, one at a time: a webhook, and a command."""

import http.client
import json
import shlex
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from edgecl.errors import UsageError
from edgecl.runtime.outputs.delivery import DeliveryFailed, Event

WEBHOOK_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0


class Webhook:
    """POSTs an event as JSON; any 2xx answer takes it. A redirect is not followed: what is announced goes where it was told to.

    Raises:
        UsageError: not an http or https URL.
    """

    def __init__(self, url: str) -> None:
        parsed = urllib.parse.urlsplit(url)
        if parsed.scheme not in ("http", "https") or not parsed.hostname:
            raise UsageError(f"the webhook {url!r} is no address. Write it as http://HOST[:PORT]/PATH or https://...")
        self._url = url
        self._opener = urllib.request.build_opener(_NoRedirect)
        self.name = f"the webhook {parsed.hostname}"  # paths of webhooks hold secrets

    def __call__(self, event: Event) -> None:
        """Deliver one event.

        Raises:
            DeliveryFailed: no answer, or another one than 2xx.
        """
        body = json.dumps(event, allow_nan=False).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json", "User-Agent": "edgecl"})
        try:
            with self._opener.open(request, timeout=WEBHOOK_TIMEOUT_S):
                return
        except urllib.error.HTTPError as error:
            raise DeliveryFailed(f"it answered {error.code}") from error
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryFailed(str(getattr(error, "reason", error) or type(error).__name__)) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Leave the answer as it is, so that it is an error."""


class Command:
    """Runs a program with the event as JSON on its stdin; exit code 0 takes it. No shell is ever involved.

    Raises:
        UsageError: there is no program.
    """

    def __init__(self, argv: Sequence[str], *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        if not argv or not argv[0]:
            raise UsageError("the command that an event is given to is empty. Name a program and its arguments")
        self._argv, self._timeout_s = tuple(argv), timeout_s
        self.name = f"the command {argv[0]!r}"

    def __call__(self, event: Event) -> None:
        """Deliver one event.

        Raises:
            DeliveryFailed: the program is not there, takes too long (it is killed then), or ends with another code than 0.
        """
        try:
            # stdout belongs to the answers; stderr is shared, so that the program can complain.
            done = subprocess.run(
                self._argv, input=json.dumps(event).encode(), stdout=subprocess.DEVNULL, timeout=self._timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise DeliveryFailed(f"it was not done after {self._timeout_s:g} s") from error
        except OSError as error:
            raise DeliveryFailed(error.strerror or type(error).__name__) from error
        if done.returncode:
            raise DeliveryFailed(f"it ended with {done.returncode}")


def command_line(text: str) -> tuple[str, ...]:
    """A command as one types it, in its words; quotes are understood, nothing else of a shell is.

    Raises:
        UsageError: a quote is not closed, or nothing is there.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"the command {text!r} cannot be split into words ({error}). Close its quotes") from error
    if not words:
        raise UsageError("the command that an event is given to is empty. Name a program and its arguments")
    return words
