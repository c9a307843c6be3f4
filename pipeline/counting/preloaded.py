"""What a process that counts has imported before it is forked: a module whose import does all that. The fork server alone imports it.

The processes share the memory of it, and the second of processor time that it takes is paid once. The only other thread that is there
by then is that of Arrow's jemalloc, which knows of forks.
"""

import atexit
import gc
import os
import sys

from pipeline import process

process.prepare()

from pipeline.counting import elsewhere, validation  # noqa: E402 - behind what it must precede

validation.prepare()
elsewhere.own_build()
sys.excepthook = lambda *_: None  # where the system lets it fork no further, the run sees so, and counts itself
atexit.register(os._exit, 0)  # at its end Python would take all that apart first, as `process.end` says
gc.freeze()  # or the first collection in each process would write into most of what they share
