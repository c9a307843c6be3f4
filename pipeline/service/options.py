"""The options of the service. Nothing heavy is imported here: the command line's help needs them."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.declarations import ZERO_BYTES, Option, declared
from pipeline.errors import UsageError
from pipeline.scalars import ZeroBytes
from pipeline.service.hosts import ANY, name_of


@dataclass(frozen=True)
class ServeOptions:
    """How to serve.

    Raises:
        UsageError: An allowed host is not a name, or the token cannot stand in a header.
    """

    host: str = declared(
        Option("--host", "The address to listen on; 0.0.0.0 is all of this machine's.", "ADDRESS"), "127.0.0.1"
    )
    port: int = declared(Option("--port", "The port; 0 takes any that is free.", "PORT", least=0, most=65535), 3000)
    zero_bytes: ZeroBytes = declared(ZERO_BYTES, "reject")
    max_body: int = declared(Option("--max-body", "The longest body of a request.", "BYTES", least=1), 32 << 20)
    flush_seconds: float = declared(
        Option(
            "--flush-seconds",
            "Move the log into flows when its oldest request has waited this many seconds.",
            "S",
            least=0.1,
        ),
        60,
    )
    flush_bytes: int = declared(
        Option("--flush-bytes", "Move the log into flows also when it has this many bytes.", "BYTES", least=1), 32 << 20
    )
    token: str | None = declared(
        Option(
            "--token",
            "Ask clients for this bearer token; better set by the variable, which other users cannot see.",
            "TOKEN",
        ),
        None,
        repr=False,
    )
    allowed_hosts: tuple[str, ...] = declared(
        Option(
            "--allowed-host",
            "A further host name under which clients may reach the service; may be repeated, * allows any.",
            "NAME",
        ),
        (),
    )

    def __post_init__(self) -> None:
        for name in self.allowed_hosts:
            if name != ANY and (":" in name.rpartition("]")[2] or name_of(name.encode(errors="surrogateescape")) is None):
                raise UsageError(f"the allowed host {name!r} must be a name or an address, without a port, or '*'")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise UsageError("the token must be visible ASCII characters; is a variable of the shell not set?")
