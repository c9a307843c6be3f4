"""What is said of a request that is not carried out, in the form that its client takes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from pipeline.service.body import Problem

_PLAIN = b"text/plain; charset=utf-8"
_PROBLEM_JSON = b"application/problem+json"


@dataclass
class Refused(Exception):
    """A request that is not carried out.

    Attributes:
        status: The status of the answer.
        problems: What is wrong; the first is the one that is told where there is room for one.
        headers: What else the answer says.
        closes: Whether the connection is of no use any more.
        more: How many problems there are beside these.
    """

    status: int
    problems: Sequence[Problem]
    headers: Sequence[tuple[bytes, bytes]] = field(default=())
    closes: bool = False
    more: int = 0


def refused(status: int, text: str, headers: Sequence[tuple[bytes, bytes]] = (), *, closes: bool = False) -> Refused:
    return Refused(status, [Problem(text)], headers, closes)


def say(accept: bytes, refusal: Refused) -> tuple[bytes, bytes]:
    """What is wrong, in the form that the client takes: the first problem as text, or as RFC 9457 has it.

    Args:
        accept: The client's `Accept`.
        refusal: What is wrong.

    Returns:
        The content type, and the content.
    """
    problems = refusal.problems
    if not _accepts_problem_json(accept):
        return _PLAIN, problems[0].text.encode("utf-8", "backslashreplace")
    document = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": problems[0].text,
    }
    errors = [
        {"record": problem.record, "field": problem.field, "detail": problem.text}
        for problem in problems
        if problem.record is not None or problem.field is not None
    ]
    shown = [{name: value for name, value in error.items() if value is not None} for error in errors]
    more = {"more": refusal.more} if refusal.more else {}
    return _PROBLEM_JSON, json.dumps(document | ({"errors": shown} if shown else {}) | more).encode()


def _accepts_problem_json(accept: bytes) -> bool:
    for accepted in accept.lower().split(b","):
        media_type, *parameters = (part.strip() for part in accepted.split(b";"))
        if media_type == _PROBLEM_JSON:
            return not any(re.fullmatch(rb"q=0(\.0*)?", parameter) for parameter in parameters)
    return False
