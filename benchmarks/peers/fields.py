"""The columns of the raw files, as the peers declare them."""

MAX_BYTES = 2**53 - 1  # of a record that is valid

AWS = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status".split()
ZEEK = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state local_orig "
    "local_resp missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents"
).split()
NFDUMP = (
    "cnt af firstSeen lastSeen proto srcAddr srcPort dstAddr dstPort srcAS dstAS input output flags srcTos packets bytes"
).split()

#: Those that are read as integers; Zeek's `ts` is read as a float, and all others as text or not at all.
INTEGERS = (
    *("srcport", "dstport", "bytes", "start", "orig_bytes", "resp_bytes", "orig_ip_bytes", "resp_ip_bytes"),
    *("srcPort", "dstPort", "firstSeen"),
)
