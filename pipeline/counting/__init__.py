"""Sources into totals: on a thread, in a process, or on another machine. Nothing here knows a store.

    sources         a raw file: its name in the ledger, how it looked, how it is opened
      objects       a raw object of a bucket: the same
      ranged        a large object as a file, read by ranges
    content         what identifies a source, and which contents start alike
    reading         the options of reading, looked up: the mapping file, the settings of formats
    count           some sources, from their bytes to their totals
      opened        a source while it is read: its digests, and whether it changed meanwhile
      pending       blocks and batches that wait to be parsed and validated together, each row with its source
      validation    every row against the pandera schema
      distinct_hours  how many hours a source opens
      sourcecount   what is known of a source, and what it added
      spread        bytes of flows that span hours, shared over these
      reports       who reports: what tells that logs have flows from both ends
      totals        sums by key that never wrap, within the memory that there is
      rejects       rejected rows, put aside
    pool            groups of sources over any Executor
    elsewhere       a group in another process, or on another machine: what travels, and the files that stay
    workers         an executor, and what its workers may take
      processes     processes of this machine as an executor: copies of the run's own
    cluster         a Dask cluster; the one module that imports distributed
    resources       the processors and the memory that a run may take

`elsewhere.count_elsewhere` is what travels: plain values in, a small record out.
"""
