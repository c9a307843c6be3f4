"""The store: hourly totals as Parquet files that anybody can read, changed by runs that count exactly once or not at all.

    STORE/flows/hour=N/part-0.parquet      the totals of an hour: what people read
    STORE/rejects/run=R/part-0.parquet     the rows that a run rejected, with why; R is the run's number, as 00000042
    STORE/runs/R.json                      the ledger: what each committed run counted
    STORE/staging/A/...                    a run's work before its commit; A is the attempt to commit it
    STORE/ledger.sqlite                    an index of runs/, made anew whenever it is missing
    STORE/lock                             held by the run that is writing

In a bucket the index and the lock are each machine's own, elsewhere (`Locations.local`), and `STORE/snapshots/` has the index as
it was now and then.

`layout` names every path, `files` does every operation on files, `lock` keeps runs apart, `partitions` reads and writes the
Parquet files, `transaction` stages, commits, publishes and recovers. `ledger` has the records, which `chain` seals and chains;
`index` answers from them which sources are known. The store knows nothing of formats.
"""
