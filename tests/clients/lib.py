"""What the scripts in Python share: where the tool is, its truth, and words for what must hold."""

import json
import os
import sys
import urllib.request

with open(os.environ["NIVEL_SANDBOX"], encoding="utf-8") as file:
    TOOLS = json.load(file)["tools"]

STEPS = []


class Tool:
    def __init__(self, name):
        found = [one for one in TOOLS if one["name"] == name]
        assert found, f"the sandbox has no {name}"
        self.base_url = found[0]["base_url"]
        self.config = found[0]["config"]

    def _own(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.base_url}/_sandbox/{path}", data) as answer:
            return json.load(answer)

    def people(self):
        return self._own("people")

    def requests(self):
        return self._own("requests")

    def fault(self, kind, **more):
        self._own("faults", [{"kind": kind, **more}])

    def well(self):
        self._own("faults", [])


def fails(kind, call):
    """The error of this kind that a call ends with; that it ends well, or otherwise, is the mistake."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("was taken")


def step(work):
    work()
    STEPS.append(work.__name__)


def done(client):
    print(f"ok  {client}: {len(STEPS)} steps")
    sys.stdout.flush()
