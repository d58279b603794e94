"""What must be true afterwards, asked of the tools themselves."""

from collections import Counter

from people import same_email, same_name, same_phone

SHOWN = 5


class Tally:
    """Counts what held and what did not; a failure names the first few cases."""

    def __init__(self, loud=True):
        self.passed, self.failed, self.loud = 0, 0, loud

    def say(self, text):
        if self.loud:
            print(text, flush=True)

    def check(self, claim, faults):
        """`faults` is a list of texts, one for each case in which the claim does not hold."""
        if not faults:
            self.passed += 1
            self.say(f"  ok    {claim}")
            return True
        self.failed += 1
        self.say(f"  FAIL  {claim}: {len(faults)} cases")
        for fault in faults[:SHOWN]:
            self.say(f"          {fault}")
        return False

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def by_email(found):
    table = {}
    for one in found:
        table.setdefault(same_email(one["email"]), []).append(one)
    return table


def each_once(tally, tool, found, before, expected):
    """Every expected person is there once; nobody else has appeared; nobody has gone."""
    table = by_email(found)
    counts = {email: len(table.get(email, [])) for email in expected}
    wrong = [f"{email}: {count} times, ids {[one['id'] for one in table.get(email, [])]}" for email, count in counts.items() if count != 1]
    tally.check(f"{tool.name}: each of {len(expected)} persons is there exactly once", wrong)
    own = {one["id"] for one in before}
    strangers = [str(one) for one in found if one["id"] not in own and same_email(one["email"]) not in expected]
    tally.check(f"{tool.name}: nobody else has appeared", strangers)
    ids = {one["id"] for one in found}
    tally.check(f"{tool.name}: nobody has gone", [str(one) for one in before if one["id"] not in ids])


def own_left_alone(tally, tool, found, pristine):
    """What the tool came with (its administrator, say) is none of the customers' and stays as it was."""
    now = {one["id"]: one for one in found}
    changed = [f"{one} is now {now.get(one['id'])}" for one in pristine if now.get(one["id"]) != one]
    tally.check(f"{tool.name}: its own {len(pristine)} entries are as they were", changed)


def values(tally, tool, found, expected):
    """Each person has the agreed values, where the tool has a place for them."""
    table = by_email(found)
    names, phones, extra, companies = [], [], [], []
    for email, wanted in expected.items():
        for one in table.get(email, []):
            if same_name(one["name"]) != wanted["name"]:
                names.append(f"{email}: name {one['name']!r}, agreed {wanted['name']!r}")
            if one.get("company", "") != wanted["company"]:
                companies.append(f"{email}: company {one.get('company')!r}, agreed {wanted['company']!r}")
            held = Counter(same_phone(phone) for phone in one["phones"])
            if held[wanted["phone"]] != 1 and wanted["phone"]:
                phones.append(f"{email}: phones {one['phones']}, agreed {wanted['phone']!r}")
            elif len(one["phones"]) > 1 or (one["phones"] and not wanted["phone"]):
                extra.append(f"{email}: phones {one['phones']}, agreed {wanted['phone']!r} alone")
    tally.check(f"{tool.name}: names are the agreed ones", names)
    tally.check(f"{tool.name}: phones are the agreed ones", phones)
    tally.check(f"{tool.name}: no second phone beside the agreed one", extra)
    if "company" in tool.fields:
        tally.check(f"{tool.name}: companies are the agreed ones", companies)


def created(tally, tool, writes, count):
    """No more objects were asked for than there are persons missing: a refused or repeated create counts too."""
    asked = [f"{method} {path} -> {status}" for method, path, _, status, _ in writes if method == "POST"]
    faults = [] if len(asked) == count else [f"{len(asked)} creates asked for, {count} persons were missing", *asked[:SHOWN]]
    tally.check(f"{tool.name}: {count} objects were made with {count} requests", faults)


def refused(tally, tool, passed):
    """The tool found nothing to complain about; looking for somebody who is not there yet is fine."""
    bad = [
        f"{method} {path} {body[:300]} -> {status} {answer[:300]}"
        for method, path, body, status, answer in passed
        if not 200 <= status < 400 and (method, status) != ("GET", 404)
    ]
    tally.check(f"{tool.name}: no request was refused", bad)


def silent(tally, tool, writes, stamps_before, stamps_after):
    """Nothing was written: not on the line, and not by the tool's own times of change."""
    tally.check(f"{tool.name}: no write on the line", [f"{method} {path} {body[:300]} -> {status}" for method, path, body, status, _ in writes])
    moved = [f"{key}: {stamp} is now {stamps_after.get(key)}" for key, stamp in stamps_before.items() if stamps_after.get(key) != stamp]
    tally.check(f"{tool.name}: no time of change has moved", moved)
