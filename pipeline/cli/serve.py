"""`flowlog serve`."""

from __future__ import annotations

import signal
import threading

from pipeline.cli.arguments import StoreOption, takes
from pipeline.cli.extras import not_installed
from pipeline.scalars import DEFAULT_STORE
from pipeline.service.options import ServeOptions


@takes(ServeOptions)
def serve(
    store: StoreOption = DEFAULT_STORE,
    *,
    options: ServeOptions,
) -> None:
    """Serve the store over HTTP.

    POST /flows counts records, and GET /flows?hour=N gives their sums. A record that is acknowledged is on disk, and is moved into the store's hours from time to time, and when the service ends.

    \b
    Example:
      flowlog serve --store /srv/flowlog --port 3000
    """
    told_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # what follows takes a second, in which a scheduler may change its mind
        signal.signal(number, lambda *_: told_to_end.set())
    try:
        from pipeline.service.server import serve as serve_until_told
    except ModuleNotFoundError as error:
        raise not_installed("the service", "serve", error) from None

    serve_until_told(store, options, told_to_end)
