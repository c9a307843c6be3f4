"""The store: hourly totals as Parquet files that anybody can read, changed by runs that count exactly once or not at all.

    STORE/flows/hour=N/part-0.parquet      the totals of an hour: what people read
    STORE/rejects/run=R/part-0.parquet     the rows that a run rejected, with why
    STORE/runs/R.json                      the ledger: what each committed run counted
    STORE/staging/R/...                    a run's work before its commit
    STORE/ledger.sqlite                    an index of runs/, made anew whenever it is missing
    STORE/lock                             held by the run that is writing

`locations` names every path, `files` does every durable operation, `lock` keeps runs apart, `partitions` reads and
writes the Parquet files, `transaction` stages, commits, publishes and recovers. The store knows nothing of formats.
"""
