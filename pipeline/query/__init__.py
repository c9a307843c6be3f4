"""The way back: totals and rejected rows, chosen, summed and sorted. A query starts without numpy and without the kernel.

    query       the totals of an hour or of a range of hours
      sums      sums by any columns, and which rows in which order
      page      the first rows of an answer, with the sums of the others and of all
    diff        what changed between two spans of hours
    rejects     rejected rows, chosen and counted
    unnamed     which addresses have no name
    sql         questions in SQL, by DuckDB
      views     the store as tables of SQL

All of these read a store and change nothing in it.
"""
