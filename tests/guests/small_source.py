#!/usr/bin/env python3
"""A small source that speaks the Airbyte protocol: one stream, state per stream, and a failure on demand.

Its settings: `rows` (a file with rows), `fails` (a file: while it is there, reading ends with an error after the first row).
"""
import json
import os
import sys


def say(**message):
    print(json.dumps(message), flush=True)


def argument(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def read(config):
    name = json.load(open(argument("--catalog")))["streams"][0]["stream"]["name"]
    stream = {"stream_descriptor": {"name": name}}
    state = argument("--state")
    since = json.load(open(state))[0]["stream"]["stream_state"]["at"] if state else ""
    print("Starting…")
    latest = since
    for row in json.load(open(config["rows"])):
        if row["at"] <= since:
            continue
        say(type="RECORD", record={"stream": name, "data": row, "emitted_at": 1})
        latest = max(latest, row["at"])
        say(type="STATE", state={"type": "STREAM", "stream": {**stream, "stream_state": {"at": latest}}})
        if os.path.exists(config["fails"]):
            error = {"message": "the second page failed", "failure_type": "system_error"}
            say(type="TRACE", trace={"type": "ERROR", "emitted_at": 1, "error": error})
            sys.exit(1)


def main():
    config = json.load(open(argument("--config")))
    if sys.argv[1] == "check":
        say(type="CONNECTION_STATUS", connectionStatus={"status": "SUCCEEDED"})
    elif sys.argv[1] == "discover":
        modes = ["full_refresh", "incremental"]
        people = {"name": "people", "json_schema": {}, "supported_sync_modes": modes, "default_cursor_field": ["at"]}
        say(type="CATALOG", catalog={"streams": [people]})
    elif sys.argv[1] == "read":
        read(config)


if __name__ == "__main__":
    main()
