"""What a process that looks at hours has imported before it is forked, as `counting.preloaded` is for those that count."""

from pipeline import process

process.prepare()
process.keep_out({"pandas"})

from pipeline.jobs import verify  # noqa: E402, F401 - behind what it must precede

process.prepare_to_fork()
