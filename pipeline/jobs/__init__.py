"""What changes a store, or proves it.

    ingest          find, plan, count, commit: one page
      find          which raw files and objects there are
        findobjects   which objects a user's URLs mean; `listing` asks the bucket, `dates` reads the dates in paths
        leftalone     what a folder has that is positively not meant
        found         what `find` gives
      plan          which of them are new, known, duplicates, or have grown
        look          the starts of many files at once
        imports       those that take long, begun early
      compare       the digests that tell; `rivals` are sources that count only if others do not
      count         the plan's sources, counted
        where         by which threads, processes, executor or cluster
      replace       what changed sources counted before, taken back
      outcome       what only counting could tell; `summary` is what the caller gets
      turns         a run that another machine overtook, done again behind it
    undo            forget sources, drop hours
    recount         sources of the ledger, counted again
    verify          the proof; `audit` looks at the records and at all that lies in the store, `hours` at what the hours have
    commit          the hours that change and the run's record

All jobs share the one commit.
"""
