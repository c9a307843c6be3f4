"""The compiled kernel: parsing plain text and summing, without the interpreter's lock, straight into Arrow's memory.

    columns     `LineParser`: the cells of delimited text and of JSON Lines as typed columns
    jsonvalues  `split_json`: JSON values that follow one another, taken off a text, one a line
    texts       `Texts`: distinct texts and their codes; and texts that are times
    records     columns of a log's records on their way to flow records: hours, answers, exchanged ends
    numbers     distinct numbers
    totals      `Totals`: sums by key
    library     the C functions, as ctypes calls them

The C beside them is compiled by `hatch_build.py`. It judges nothing: it names a line that is irregular, which is then
read by the exact path of `syntax`. docs/adr/0004 says why there is C at all.
"""
