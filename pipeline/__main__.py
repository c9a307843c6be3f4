"""The start of `flowlog`, which is also `python -m pipeline`."""

from __future__ import annotations

import gc


def main() -> None:
    """Runs the command line in a process of its own."""
    gc.set_threshold(100_000)  # imports make objects that stay, of which nothing can be collected
    from pipeline.cli import main as run  # the first of these imports

    try:
        run()
    finally:
        gc.freeze()  # what is left ends with the process: Python need not search it for garbage first


if __name__ == "__main__":
    main()
