"""The people of the real-tools test, and how each tool happens to spell them.

300 invented people (reserved mail domains, 555-01xx numbers) stand in contacts-300.csv, which `python3 tests/real/people.py`
writes again, byte for byte. Three of them share each phone, and names repeat: only the e-mail tells everybody apart.
"""

import csv
import io
import os
import random
import re
import unicodedata

CSV = os.path.join(os.path.dirname(os.path.abspath(__file__)), "contacts-300.csv")

GIVEN = "Ann Bo Carla Dmitri Élodie Farid Grace Hiro Inês José Kofi Liu Márta Noor Olaf Priya Quentin Rosa Søren Tariq"
FAMILY = "Lee Ng Okafor Petrov Müller Haddad O'Brien Tanaka Souza García Mensah Wei Kovács Karim Larsen Nair Dupont Silva Åberg Aziz"
COMPANIES = ["Acme Ltd", "Globex", "Initech", "Umbrella Supply", "Hooli, Inc.", "Stark & Sons", "Wayne Foods", "Soylent Bros"]
DOMAINS = ["example.com", "example.org", "example.net"]
# What Unicode does not take apart into a letter and a mark.
STROKES = str.maketrans({"ø": "o", "Ø": "O", "'": ""})


def plain(text):
    """The text without marks on its letters: Müller becomes Muller."""
    apart = unicodedata.normalize("NFD", text.translate(STROKES))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def generate(count):
    """The same people for the same count, always."""
    dice = random.Random(7)
    for number in range(1, count + 1):
        given, family = dice.choice(GIVEN.split()), dice.choice(FAMILY.split())
        local = plain(f"{given}.{family}{number}").lower()
        yield {
            "id": f"c{number:05d}",
            "name": f"{given} {family}",
            "email": f"{local}@{dice.choice(DOMAINS)}",
            "phone": f"+1202555{100 + number % 100:04d}",
            "company": dice.choice(COMPANIES),
        }


def as_csv(people):
    out = io.StringIO()
    writer = csv.DictWriter(out, ["id", "name", "email", "phone", "company"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(people)
    return out.getvalue()


def read():
    with open(CSV, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Who is where: one bit per tool, so that every overlap of the three occurs.
BITS = {"rt": 1, "tryton": 2, "ghost": 4}
# The field rules of the test's nivel.yaml: who owns the name, in this order.
OWNERS = ["tryton", "rt", "ghost"]


def number_of(person):
    return int(person["id"][1:])


def is_in(tool, person):
    return (1 + number_of(person) % 7) & BITS[tool] != 0


def spell(tool, person):
    """The person as this tool happens to hold them: the same human being, hardly ever the same letters."""
    number = number_of(person)
    given, family = person["name"].split(" ", 1)
    local, domain = person["email"].split("@")
    digits = person["phone"][2:]
    area, exchange, line = digits[:3], digits[3:6], digits[6:]
    if tool == "tryton":
        # A party has no place for the company it works for.
        return {field: person[field] for field in ("id", "name", "email")} | {
            "phone": [person["phone"], f"+1 {area} {exchange} {line}", ""][number % 3],
        }
    if tool == "rt":
        return person | {
            "email": [person["email"], person["email"].upper(), f"{local}@{domain.title()}"][number % 3],
            "name": [f"{family}, {given}", plain(person["name"]).upper(), plain(person["name"]), person["name"]][number % 4],
            "phone": [f"({area}) {exchange}-{line}", f"+1-{area}-{exchange}-{line}", "", f"{area}.{exchange}.{line}"][number % 4],
        }
    return person | {
        "email": [f"{local.title()}@{domain}", person["email"]][number % 2],
        "name": [unicodedata.normalize("NFD", person["name"]), person["name"].lower(), f" {person['name']} "][number % 3],
        "phone": ["", f"1{digits}", f"+1{digits}"][number % 3],
    }


def agreed(tools, people):
    """What every tool must hold in the end, by e-mail, from what was put in and the field rules alone."""
    result = {}
    for person in people:
        held = [spell(tool, person) for tool in OWNERS if tool in tools and is_in(tool, person)]
        if held:
            first = {field: next((one.get(field) for one in held if one.get(field)), "") for field in ("name", "phone", "company")}
            first |= {"name": same_name(first["name"]), "phone": same_phone(first["phone"])}
            result[same_email(person["email"])] = first
    return result


# Two spellings are the same value when these agree; Nivel may leave either of them in place.
def same_email(text):
    return text.strip().lower()


def same_name(text):
    words = " ".join(unicodedata.normalize("NFC", text).split())
    family, comma, given = words.partition(", ")
    return f"{given} {family}" if comma else words


def same_phone(text):
    digits = re.sub(r"\D", "", text or "")
    return "1" + digits if len(digits) == 10 else digits


if __name__ == "__main__":
    with open(CSV, "w", newline="", encoding="utf-8") as file:
        file.write(as_csv(generate(300)))
