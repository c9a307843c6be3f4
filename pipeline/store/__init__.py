"""The store: hourly totals as Parquet files that anybody can read, changed by runs that count exactly once or not at all.

    STORE/flows/hour=N/part-0.parquet      the totals of an hour: what people read
    STORE/rejects/run=R/part-0.parquet     the rows that a run rejected, with why; R is the run's number, as 00000042
    STORE/runs/R.json                      the ledger: what each committed run counted
    STORE/staging/A/...                    a run's work before its commit; A is the attempt to commit it
    STORE/ledger.sqlite                    an index of runs/, made anew whenever it is missing
    STORE/lock                             held by the run that is writing

In a bucket the index and the lock are each machine's own, elsewhere (`Locations.local`), and `STORE/snapshots/` has the index as
it was now and then.

    layout          every path
    files           the operations on files, and how a folder does them
    objects         how a bucket does them
      conditions    whether a server keeps the conditions that runs of several machines need
    lock            keeps the runs of one machine apart
    partitions      reads and writes the Parquet files of hours
    rejectfile      reads and writes those of rejected rows
      parquetfile   what both have in common
    transaction     stages, commits, publishes and recovers
    ledger          the records of the runs
      chain         seals and chains them
    index           answers from the records which sources are known
      snapshots     the index as it was, for machines that are new to a bucket

The store knows nothing of formats.
"""
