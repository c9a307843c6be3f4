"""The compiled kernel: parsing plain text and summing, without the interpreter's lock, straight into Arrow's memory.

    columns.py    `LineParser`: the cells of delimited text and of JSON Lines as typed columns
    jsonvalues.py `split_json`: JSON values that follow one another, taken off a text, one a line
    texts.py      `Texts`: distinct texts and their codes
    totals.py     `Totals`: sums by key
    library.py    the C functions, as ctypes calls them

The C beside them is compiled by `hatch_build.py`. It judges nothing: it names a line that is irregular, which is then
read by the exact path of `syntax`. docs/adr/0004 says why there is C at all.
"""
