"""The service: flow records in and hourly totals out over HTTP, on the same store as the batch job. Needs the extra `serve`.

    server      from the start to the last flush: parts, socket, signals, and all connections as a whole
    connection  one connection: whose turn it is, and which clients are too slow
    request     a request as it comes in: head and body, by llhttp
    hosts       under which names the service may be asked, and by which pages
    app         what is answered on which path, and to whom
      post      POST: the way of a body into the log
        body    flow records in JSON, by the rules of `schema`
        explain what is wrong with a body, in the words of the contract
        writer  acknowledges: writes what came in together with one write and one sync
      pending   the totals of what is in the log and not yet in `flows/`
      flusher   flushes the log into `flows/`, by the batch job; no byte that the disk has changed
      get       GET: the totals of `flows/` and of what is pending, each record once
      page      the totals as a page for people, at `/`
      openapi   `/openapi.json` and `/docs`
    answers     answers out, never faster than the client reads
    problem     why a request is not carried out, and how that is told (RFC 9457)
    options     how to serve, as the command line and a program say it
    limits      what a client may take of the machine, with the reasons
    budget      bytes that requests share: a request that needs some waits

The log's files, and how they prove themselves, stand in `pipeline.wal`, where `verify` reads them too.
"""
