"""What a process that counts has imported before it is forked: a module whose import does all that. The fork server alone imports it.

The processes share the memory of it, and the second of processor time that it takes is paid once. The only other thread that is there
by then is that of Arrow's jemalloc, which knows of forks.
"""

from pipeline import process

process.prepare()

from pipeline.counting import elsewhere, validation  # noqa: E402 - behind what it must precede

validation.prepare()
elsewhere.own_build()
process.prepare_to_fork()
