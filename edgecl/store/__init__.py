"""The versions of one model on disk: written atomically, never changed, taken back with one command."""

from edgecl.store.facts import Facts
from edgecl.store.settings import Settings
from edgecl.store.store import Store
from edgecl.store.versions import Draft

__all__ = ["Draft", "Facts", "Settings", "Store"]
