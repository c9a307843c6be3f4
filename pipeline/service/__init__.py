"""The service: flow records in and hourly totals out over HTTP, on the same store as the batch job.

    records     what a POST brings: checked by the rules of `schema`, said in the words of the original's contract
    log         acknowledges: writes what came in together with one write and one sync
    pending     the totals of what is in the log and not yet in `flows/`
    mover       moves the log into `flows/`, by the batch job; no byte that the disk has changed
    totals      what a GET asks and gets: `flows/` and what is pending, each record once
    app         what is answered on which path, and to whom
    problems    what is wrong with a body, in the words of the contract
    refusals    what is said when something is wrong
    openapi     what `/openapi.json` and `/docs` say
    metrics     what `/metrics` says
    limits      what anybody may take of the machine, with the reasons
    budget      bytes that requests share: who needs some waits
    hosts       under which names the service may be asked, and by which pages
    heads       a request's head, by llhttp
    connection  requests in, one after the other
    answers     answers out, never faster than the client reads
    options     how to serve, as the command line and a program say it
    server      all connections, and signals; from the start to the last move

A POST goes through records, log and pending; a GET through totals. The log's files, and how they prove
themselves, stand in `store.wal` and `store.keys`, where `verify` reads them too. Needs the extra `serve`.
"""
