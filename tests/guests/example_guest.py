#!/usr/bin/env python3
"""An example of a guest: a program that speaks Nivel's own JSON Lines (connectors/GUESTS.md) and keeps people in a file.

The file is JSON: {"next": 3, "people": {"1": {"mail": …, "name": …, "seq": 1}, …}}; `seq` grows with every change. What is
written is on disk before its row is answered. For tests: when the file named by `dies` is there, the program removes it
and dies between a change and its answer; when `renews` is set, it changes its token at every reading.
"""
import json
import os
import sys


def say(**message):
    print(json.dumps(message), flush=True)


def load(path):
    with open(path) as file:
        return json.load(file)


def save(path, store):
    part = path + ".part"
    with open(part, "w") as file:
        json.dump(store, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else sys.exit(0)


def shown(key, person):
    return {"id": key, **person}


class Guest:
    def __init__(self, config):
        self.file = config["file"]
        self.dies = config.get("dies")
        self.token = config.get("token")
        self.renews = config.get("renews")

    def renew(self):
        """A refresh token that is good for one use: the new one is used when Nivel says that it is safe."""
        say(type="setting", name="token", value=self.token + "+")
        while hear().get("type") != "kept":
            pass
        self.token += "+"

    def read(self, ask, state, credit):
        if self.renews:
            self.renew()
        since = (state or {}).get("seq", 0)
        people = sorted(load(self.file)["people"].items(), key=lambda item: item[1]["seq"])
        for key, person in people:
            if person["seq"] <= since:
                continue
            while credit == 0:
                more = hear()
                credit += more["rows"] if more["type"] == "credit" else 0
            credit -= 1
            say(type="record", data=shown(key, person), deleted=person.get("gone", False))
            # In the order of `seq`, so this vouches for everything before it.
            say(type="state", value={"seq": person["seq"]})
        say(type="done", ask=ask, whole=since == 0)

    def get(self, ask, ids):
        people = load(self.file)["people"]
        say(type="answer", ask=ask, objects=[shown(key, people[key]) for key in ids if key in people])

    def find(self, ask, by, value):
        people = load(self.file)["people"]
        found = [shown(key, person) for key, person in people.items() if person.get(by) == value]
        say(type="answer", ask=ask, objects=found)

    def write(self, ask, rows):
        for row in rows:
            say(type="result", ask=ask, **self.row(row))
        say(type="answer", ask=ask)

    def row(self, row):
        store = load(self.file)
        key = row["id"] or str(store["next"])
        if row["id"] and key not in store["people"]:
            return {"op": row["op"], "error": {"class": "gone", "message": "there is no " + key}}
        if "@" not in row["fields"].get("mail", "@"):
            return {"op": row["op"], "error": {"class": "invalid", "message": "that is no address"}}
        person = store["people"].setdefault(key, {})
        person.update(row["fields"])
        person["seq"] = store["next"] = store["next"] + 1
        if row["action"] == "delete":
            del store["people"][key]
        save(self.file, store)
        if self.dies and os.path.exists(self.dies):
            os.remove(self.dies)
            os._exit(9)
        return {"op": row["op"], "id": key, "created": row["id"] is None}


def main():
    guest = Guest(hear()["config"])
    say(type="ready", protocol=1)
    while True:
        message = hear()
        kind, ask = message["type"], message.get("ask")
        if kind == "read":
            guest.read(ask, message["state"], message["credit"])
        elif kind == "get":
            guest.get(ask, message["ids"])
        elif kind == "find":
            guest.find(ask, message["by"], message["value"])
        elif kind == "write":
            guest.write(ask, message["rows"])
        elif kind == "check":
            say(type="answer", ask=ask)
        elif kind == "discover":
            say(type="answer", ask=ask, streams=[{"name": "people"}])


if __name__ == "__main__":
    main()
