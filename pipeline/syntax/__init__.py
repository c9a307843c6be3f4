"""How files are written, whatever they say: delimited text, JSON in whatever container, Parquet.

Each module turns a stream into batches with the columns that a format asks for, typed, and every cell that does not
parse into a reject of its row. What the columns mean is the format's business, one level up.
"""
