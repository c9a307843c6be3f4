"""What changes a store, or proves it.

ingest          find, plan, count, commit: one page
find          which raw files there are, and which are left alone
plan          which of them are new, known, duplicates, or have grown; `compare` reads what tells, `rivals` waits for others
count         the plan's sources, counted
replace       what changed sources counted before, taken back
commit        the hours that change and the run's record: the one commit that all jobs share
outcome       what only counting could tell; `summary` is what the caller gets
undo            forget sources, drop hours
recount         sources of the ledger, counted again
verify          the proof; `audit` looks at the records and at all that lies in the store
"""
