"""The service: flow records in and hourly totals out over HTTP, on the same store as the batch job.

    records     what a POST brings: checked by the rules of `schema`, said in the words of the original's contract
    log         acknowledges: writes what came in together with one write and one sync
    pending     the totals of what is in the log and not yet in `flows/`
    mover       moves the log into `flows/`, by the batch job; no byte that the disk has changed
    totals      what a GET asks and gets: `flows/` and what is pending, each record once
    app         HTTP: who may do what
    refusals    what is said when something is wrong
    openapi     what `/docs` says of `/flows`
    metrics     what `/metrics` says
    server      uvicorn, signals, slow clients; from the start to the last move

A POST goes through records, log and pending; a GET through totals. The log's files, and how they prove
themselves, stand in `store.wal` and `store.keys`, where `verify` reads them too. Needs the extra `serve`.
"""
