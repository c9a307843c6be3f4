"""The original's design, from its contract: a Flask application that sums into a dictionary, in memory.

python -m benchmarks.serve.original PORT        under the server that its README starts
waitress-serve benchmarks.serve.original:app    under a production server; gunicorn alike
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from flask import Flask, jsonify, request

TEXTS = ("src_app", "dest_app", "vpc_id")
NUMBERS = ("bytes_tx", "bytes_rx", "hour")

app = Flask(__name__)
totals: dict[int, dict[tuple[str, str, str], list[int]]] = {}
lock = threading.Lock()


def post_flows() -> tuple[str, int]:
    flows = request.get_json(silent=True)
    if flows is None:
        return "Missing request data", 400
    if not flows:
        return "No flowlog found", 400
    for flow in flows:
        if problem := problem_of(flow):
            return problem, 400
    with lock:
        for flow in flows:
            hour = totals.setdefault(flow["hour"], {})
            sums = hour.setdefault((flow["src_app"], flow["dest_app"], flow["vpc_id"]), [0, 0])
            sums[0] += flow["bytes_tx"]
            sums[1] += flow["bytes_rx"]
    return "", 200


def problem_of(flow: dict[str, Any]) -> str | None:
    for name in TEXTS:
        value = flow.get(name)
        if not isinstance(value, str) or not value:
            return f"The {name} value must be a string"
    for name in NUMBERS:
        value = flow.get(name)
        if type(value) is not int:
            return f"The {name} value must be an integer"
        if value <= 0:
            return f"The {name} value must be positive"
    return None


def get_flows() -> Any:
    text = request.args.get("hour")
    if text is None:
        return "Missing hour parameter in the request query_params", 400
    try:
        hour = int(text)
    except ValueError:
        return "The hour value must be an integer", 400
    if hour <= 0:
        return "The hour value must be positive", 400
    with lock:
        found = [
            {"src_app": src, "dest_app": dest, "vpc_id": vpc, "bytes_tx": tx, "bytes_rx": rx, "hour": hour}
            for (src, dest, vpc), (tx, rx) in totals.get(hour, {}).items()
        ]
    return jsonify(found)


app.add_url_rule("/flows", view_func=post_flows, methods=["POST"])
app.add_url_rule("/flows", view_func=get_flows, methods=["GET"])

if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
