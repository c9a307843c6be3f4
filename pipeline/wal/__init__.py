"""The write-ahead log of the service (the *log*): what the service has acknowledged and not yet flushed into `flows/`.

    STORE/wal/<segment>.<accept|reject>.jsonl    flow records, one a line: a raw file that `ingest` reads    `segments`
    STORE/wal/moves.jsonl                        which attempt to commit a run flushes which segment         `flushes`
    STORE/wal/keys.sqlite                        the Idempotency-Keys of entries whose segments are gone     `idempotency`
    STORE/wal/damaged/                           files of the log that the disk has damaged, as they were found
    STORE/wal/lock                               held by the service for life

An *entry* is a request in the log: its records with its mark. A *flush* moves a segment into `flows/`, by the batch job.
Each entry, note and key ends with a *seal* (`seals`), so that what the disk has damaged is found. `inspection` is what
`verify` sees of the log. The service writes all of this; nothing here needs the service's libraries.
"""
