"""What a client may take of the service's machine. Each limit of HTTP stands here, with its reason.

`docs/security.md` has all limits as a table; those of records stand in `body`, those of the log in `post`, `writer` and
`flusher`.

Together they keep the process below 1 GiB whatever is sent: about 200 MiB of libraries, the two budgets, what one body
and one flush take for a moment, and for each connection a head, a small body and a small answer.
"""

from __future__ import annotations

# --- connections ---------------------------------------------------------------------------------------------------

#: So many connections at once. A further one takes the place of one whose client has the turn, see `server`.
MAX_CONNECTIONS = 512
#: How many bytes are read from a connection at a time: what a client sends ahead costs no more than this.
READ_BYTES = 64 << 10
#: How much of an answer waits in the process for its client to read on.
WRITE_BYTES = 64 << 10
#: What the kernel holds for a connection in each direction (it doubles this); left to itself it would hold several MiB.
SOCKET_BYTES = 128 << 10

# --- time ----------------------------------------------------------------------------------------------------------

#: How long a client may take to send a request, and how long it may leave an answer unread.
REQUEST_SECONDS = 60.0
#: How long a connection without a request is kept: as long as most clients keep theirs.
KEEP_ALIVE_SECONDS = 60.0
#: How long to go on reading after the last answer: a client that is still sending would lose the answer otherwise.
LINGER_SECONDS = 5.0
#: How long to wait for room in a budget.
ROOM_SECONDS = 30.0
#: While other requests wait for room, a client whose request holds some must be so quick, in bytes a second, after some free
#: seconds.
LEAST_RATE = 2 << 20
FREE_SECONDS = 5.0
#: How long requests that are under way may take when the service ends.
SHUTDOWN_SECONDS = 15.0

# --- heads ---------------------------------------------------------------------------------------------------------

#: The longest target (path and query): five names of 1,024 characters, percent-encoded, need less. Else 414.
MAX_TARGET_BYTES = 16 << 10
#: The longest head, from the request line to the empty line: what other servers allow. Else 431.
MAX_HEAD_BYTES = 32 << 10
#: The most headers: a head of nothing but short ones must not make thousands of objects. Else 431.
MAX_HEADERS = 100

# --- bodies --------------------------------------------------------------------------------------------------------

#: A body up to here needs no room: as many as there are connections fit beside the budgets.
SMALL_BODY_BYTES = 64 << 10
#: Longer bodies share this: each takes room as it comes, is not read on while there is none, and holds the room until its
#: answer. The oldest of them always goes on, so that `--max-body` comes on top. Behind the room stand the body, and then
#: the lines for the log, which are no longer.
BODIES_BYTES = 96 << 20
#: A body in chunks may need so many more bytes for its framing than for its content: else 400. Chunks of a byte need five
#: for one; a chunk may have any amount of extensions, which nobody needs.
MAX_FRAMING = 8
#: How many of a body's keys and brackets are looked at to say what is wrong, a second's work at the most: ten of each of
#: the most records that there may be.
MAX_TOKENS = 1_000_000
#: So many details of what is wrong with a body are told, and the number of the others.
MAX_DETAILS = 100

# --- answers -------------------------------------------------------------------------------------------------------

#: An hour in `flows/` is read and sent in pieces of so many rows, and of about so much text: so the memory for an answer
#: depends neither on the hour's size nor on the length of its names.
PIECE_ROWS = 1_000
PIECE_BYTES = 1 << 20
#: What each row of a piece takes where all its names are as long as a store's may be: as read, and in the pieces.
LONGEST_ROW = 32 << 10
#: What a pending row of an answer takes; its names are in memory already.
BYTES_A_ROW = 192
#: An answer of so many rows, with names of the usual length, needs no room: as many as there are connections fit beside
#: the budgets.
SMALL_ANSWER_ROWS = 1_000
#: What a page takes beside its rows; and each row of its hours, and of as many hours before, beside the text of its names.
PAGE_BYTES = 16 << 20
BYTES_A_PAGE_ROW = 80
#: Longer answers and pages share this; each waits until there is room for an hour of it, and holds the room until it is sent.
ANSWERS_BYTES = 192 << 20
