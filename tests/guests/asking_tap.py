"""A Singer tap that asks a tool over HTTP, for the tests of programs: settings `url` and `token`."""

import json
import sys
import urllib.error
import urllib.request

PEOPLE = {"stream": "people", "tap_stream_id": "people", "key_properties": ["id"], "metadata": [],
          "schema": {"type": "object", "properties": {name: {"type": ["null", "string"]} for name in ("id", "mail", "name")}}}


def say(**message):
    print(json.dumps(message), flush=True)


def ask(settings, page):
    request = urllib.request.Request(f"{settings['url']}/people?page={page}", headers={"x-token": settings["token"]})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"the tool answered {error.code}: {error.read().decode()}")


def main():
    words = sys.argv[1:]
    if "--discover" in words:
        print(json.dumps({"streams": [PEOPLE]}))
        return
    with open(words[words.index("--config") + 1], encoding="utf-8") as file:
        settings = json.load(file)
    say(type="SCHEMA", stream="people", schema=PEOPLE["schema"], key_properties=["id"])
    page = 1
    while page:
        found = ask(settings, page)
        for row in found["people"]:
            say(type="RECORD", stream="people", record=row)
        page = found.get("next")
    say(type="STATE", value={"done": True})


main()
