#!/usr/bin/env python3
"""A Singer tap that lies about its state, as many do: it lists not by time, and its bookmark is the latest time it has seen.

Its settings: `pages` (a file with a list of pages of rows), `fails` (a file: while it is there, the second page fails),
`whole` (every reading is a list of everything, with a version), `looks` (a file for what it saw of its surroundings).
"""
import json
import os
import stat
import sys


def say(**message):
    print(json.dumps(message), flush=True)


def argument(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def look(config, path):
    with open(config["looks"], "a") as file:
        seen = {
            "argv": sys.argv[1:],
            "env": sorted(os.environ),
            "folder": os.getcwd(),
            "mode": stat.S_IMODE(os.stat(path).st_mode),
            "token": config.get("token"),
            "state": argument("--state") and json.load(open(argument("--state"))),
        }
        file.write(json.dumps(seen) + "\n")


def main():
    path = argument("--config")
    config = json.load(open(path))
    if "--discover" in sys.argv:
        properties = {name: {"type": ["null", "string"]} for name in ("id", "mail", "name", "at")}
        people = {"tap_stream_id": "people", "stream": "people", "schema": {"type": "object", "properties": properties}}
        orders = {"tap_stream_id": "orders", "stream": "orders", "schema": {"type": "object", "properties": {}}}
        print(json.dumps({"streams": [people, orders]}, indent=2), end="")  # as some taps do: the last line has no end
        return
    if "looks" in config:
        look(config, path)
    if "renews" in config:
        with open(path, "w") as file:
            json.dump({**config, "token": config["token"] + "+"}, file)
    state = argument("--state")
    since = json.load(open(state))["at"] if state and "whole" not in config else ""
    selected = [s["stream"] for s in json.load(open(argument("--catalog")))["streams"] if s["selected"]]
    assert selected == ["people"], selected
    version = {"version": int(config["whole"])} if "whole" in config else {}
    latest = since
    say(type="SCHEMA", stream="people", schema={}, key_properties=["id"])
    for number, page in enumerate(json.load(open(config["pages"]))):
        if number == 1 and os.path.exists(config.get("fails", "")):
            print("page 2: 503 for", config.get("token"), file=sys.stderr)
            sys.exit(1)
        for row in page:
            if row["at"] > since or "whole" in config:
                say(type="RECORD", stream="people", record=row, **version)
            latest = max(latest, row["at"])
        say(type="STATE", value={"at": latest})
    if version:
        say(type="ACTIVATE_VERSION", stream="people", **version)


if __name__ == "__main__":
    main()
