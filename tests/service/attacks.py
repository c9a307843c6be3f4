"""What strangers send at a service to hurt it; each attack is a function of the port.

Sizes are for a full-size run; `scale` makes them smaller.
"""

import socket
import time
from contextlib import suppress


def connect(port, receive_buffer=None):
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", port))
    return connection


def heard(connection):
    """All that is answered on a connection, until the service ends it, cuts it off or has nothing more to say."""
    answer = b""
    with suppress(OSError):
        while piece := connection.recv(65536):
            answer += piece
    return answer


def send_and_hear(port, *parts):
    """What is answered to some bytes, or b"" where the connection was cut off."""
    with connect(port) as connection:
        with suppress(OSError):  # where it is cut off, what was said before may still be read
            for part in parts:
                connection.sendall(part)
        return heard(connection)


def post_head(length, *more):
    lines = ["POST /flows HTTP/1.1", "host: localhost", "content-type: application/json", f"content-length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def many_header_lines(port, scale):
    block = b"x-%07d: y\r\n" % 1 * 74_899  # 1 MiB
    return send_and_hear(port, b"GET /flows HTTP/1.1\r\nhost: localhost\r\n", *[block] * max(1, int(186 * scale)))


def one_long_header(port, scale):
    return send_and_hear(
        port, b"GET /flows HTTP/1.1\r\nhost: localhost\r\nx: ", *[b"y" * (1 << 20)] * max(1, int(132 * scale))
    )


def one_long_target(port, scale):
    return send_and_hear(port, b"GET /", *[b"y" * (1 << 20)] * max(1, int(132 * scale)))


def nested_body(port, scale):
    size = int((32 << 20) * scale)
    unit = b'{"a":[{"b":[{"c":1}]}]},'
    body = b'[{"x":[' + unit * (size // len(unit) - 2) + b"1]}]"
    return send_and_hear(port, post_head(len(body), "connection: close"), body)


def deep_body(port, scale):
    size = int((32 << 20) * scale)
    body = b"[" * (size // 2) + b"]" * (size // 2)
    return send_and_hear(port, post_head(len(body), "connection: close"), body)


def empty_objects(port, scale):
    body = b"[" + b",".join([b"{}"] * max(200, int(100_000 * scale))) + b"]"
    return send_and_hear(port, post_head(len(body), "accept: application/problem+json", "connection: close"), body)


def unread_answer(port, hour, seconds):
    """Asks, and does not read."""
    with connect(port, 4096) as connection:
        connection.sendall(f"GET /flows?hour={hour} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        time.sleep(seconds)


def half_a_body(port, seconds, scale):
    """Says that a long body comes, and sends some of it."""
    with connect(port) as connection:
        connection.sendall(post_head(int((32 << 20) * scale)) + b"[" + b" " * 1000)
        time.sleep(seconds)


def idle_connections(port, count):
    return [connect(port) for _ in range(count)]
