"""To whom the service answers: under which names it may be asked, and by the pages of which origins.

A page in a browser may have the address of its own name changed to this machine's ("DNS rebinding"), and then asks this
service as if it were the page's own: with the page's name in `Host`. A page of another origin has that in `Origin`.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.service.problem import problem

if TYPE_CHECKING:
    # The request needs the extra `serve`, without which the command line's help reads names here.
    from pipeline.service.request import Request

#: The option that allows every name.
ANY = "*"

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?", re.ASCII)
_ORIGIN = re.compile(r"https?://([^/]+)", re.ASCII | re.IGNORECASE)
_REMEMBERED = 256


class Hosts:
    """The names under which a service may be asked.

    On a loopback address these are the names of loopback. On any other address they are the names that a rebound page cannot
    have: addresses, names without a dot, and this machine's own name; with a token any name, since no page knows the token.
    In both cases the service also answers to the name that it was told to listen on, and to those that an option allows.

    Args:
        address: The address that the service listens on.
        host: The name or address that it was told to listen on.
        allowed: Further names; `*` allows all.
        has_token: Whether the service asks for a token.
    """

    def __init__(self, address: str, host: str, allowed: Sequence[str], *, has_token: bool) -> None:
        self._on_loopback = is_loopback(address)
        self._told = {_plain(name) for name in allowed}
        self._own = {"localhost", _plain(host)}
        if not self._on_loopback:
            self._own |= {_plain(socket.gethostname()), _plain(socket.getfqdn())}
        self._allows_all = ANY in allowed or (has_token and not allowed and not self._on_loopback)
        self.allows = lru_cache(_REMEMBERED)(self._allows)  # clients send the same few
        self.allows_origin = lru_cache(_REMEMBERED)(self._allows_origin)

    def check(self, request: Request) -> None:
        """Refuses a request under a name that is not the service's, or of a page that is not the service's own.

        Raises:
            Problem: The request is refused.
        """
        named = [request.host, request.headers.get(b"host")]  # a host in the target counts rather than the header
        for authority in named:
            if authority is not None and not self.allows(authority):
                name = name_of(authority)
                if name is None:
                    raise problem(400, "The Host header must be a host, or host:port", closes=True)
                raise problem(
                    421,
                    f"The service does not answer to the name {name!r}; its option --allowed-host {name} allows this name",
                )
        origin = request.headers.get(b"origin")
        if origin is not None and not self.allows_origin(origin, request.host):
            raise problem(403, "The service does not answer to pages of this origin")

    def _allows(self, authority: bytes) -> bool:
        """Whether the service may be asked as `host` or `host:port`."""
        name = name_of(authority)
        if name is None:
            return False
        if self._allows_all or name in self._told or name in self._own:
            return True
        if self._on_loopback:
            return is_loopback(name)
        return "." not in name or _is_address(name)

    def _allows_origin(self, origin: bytes, authority: bytes | None) -> bool:
        """Whether a page of an origin may ask: one of the service's own, or of a name that was allowed."""
        match = _ORIGIN.fullmatch(origin.decode("latin-1"))
        name = name_of(match[1].encode("latin-1")) if match else None
        if name is None:
            return False
        if self._allows_all or name in self._told:
            return True
        asked = None if authority is None else name_of(authority)
        return name == asked or (asked is not None and is_loopback(name) and is_loopback(asked))


def name_of(authority: bytes) -> str | None:
    """The host of `host` or `host:port`, in one spelling; None if the text is neither."""
    match = _AUTHORITY.fullmatch(authority.decode("latin-1"))
    return _plain(match[1]) if match else None


def is_loopback(name: str) -> bool:
    """Whether a name or an address is one by which a machine calls itself."""
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name.partition("%")[0]).is_loopback)


def _plain(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
