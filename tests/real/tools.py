"""Three real tools through their own APIs, with nothing but the standard library: what the test puts in and what it finds."""

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request


class Refused(Exception):
    """A tool did not do what the test itself asked of it."""


def call(method, url, headers, body=None):
    """One request; its answer as JSON, None when there is none. Anything but success is an error."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Accept": "application/json", **headers})
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Refused(f"{method} {url}: {error.code} {error.read(500).decode('utf-8', 'replace')}") from None
    return json.loads(text) if text else None


class Rt:
    """Request Tracker: support. A person is a user."""

    name, role, credential = "rt", "support", "token"
    fields = ("email", "name", "phone", "company")

    def __init__(self, env):
        self.url = env["RT_URL"]
        self.api = self.url + "/REST/2.0"
        self.secret = {"RT_TOKEN": env["RT_TOKEN"]}
        self.headers = {"Authorization": f"token {env['RT_TOKEN']}"}

    @staticmethod
    def is_write(method, path):
        """Searches are asked for with POST here."""
        reads = ("/REST/2.0/users", "/REST/2.0/transactions", "/REST/2.0/tickets")
        return method != "GET" and not (method == "POST" and path.split("?")[0] in reads)

    def people(self):
        query = urllib.parse.urlencode(
            {"per_page": 100, "orderby": "id", "fields": "Name,EmailAddress,RealName,MobilePhone,WorkPhone,Organization,LastUpdated"}
        )
        found, page = [], 1
        while True:
            answer = call(
                "POST", f"{self.api}/users?{query}&page={page}", self.headers, [{"field": "id", "operator": ">", "value": 0}]
            )
            found += answer["items"]
            if page >= int(answer["pages"]):
                break
            page += 1
        return [
            {
                "id": one["Name"],
                "email": one["EmailAddress"],
                "name": one["RealName"],
                "phones": [phone for phone in (one["MobilePhone"], one["WorkPhone"]) if phone],
                "company": one["Organization"],
                "stamp": one["LastUpdated"],
            }
            for one in found
        ]

    def newest_event(self):
        """The number of the last thing that happened to any user: it grows by one with every change."""
        query = urllib.parse.urlencode({"per_page": 1, "orderby": "id", "order": "DESC"})
        asked = [{"field": "ObjectType", "value": "RT::User"}]
        return call("POST", f"{self.api}/transactions?{query}", self.headers, asked)["items"][0]["id"]

    def create(self, person):
        body = {"Name": person["id"], "EmailAddress": person["email"], "RealName": person["name"]}
        body |= {"MobilePhone": person["phone"], "Organization": person.get("company", "")}
        call("POST", f"{self.api}/user", self.headers, body)

    def update(self, found, wanted):
        body = {"RealName": wanted["name"], "MobilePhone": wanted["phone"], "Organization": wanted["company"]}
        call("PUT", f"{self.api}/user/{urllib.parse.quote(found['id'])}", self.headers, body)

    def change_phone(self, found, phone):
        call("PUT", f"{self.api}/user/{urllib.parse.quote(found['id'])}", self.headers, {"MobilePhone": phone})


def moment(parts):
    """Tryton's datetime object, as text."""
    day = "-".join(f"{parts[part]:02}" for part in ("year", "month", "day"))
    hour = ":".join(f"{parts[part]:02}" for part in ("hour", "minute", "second"))
    return f"{day} {hour}.{parts['microsecond']:06}"


class Tryton:
    """Tryton: sales. A person is a party; e-mail and phone are records of their own below it."""

    name, role, credential = "tryton", "sales", "key"
    fields = ("email", "name", "phone")

    def __init__(self, env):
        self.url = env["TRYTON_URL"]
        self.api = self.url + "/rest/model"
        self.secret = {"TRYTON_KEY": env["TRYTON_KEY"]}
        self.headers = {"Authorization": f"bearer {env['TRYTON_KEY']}"}

    @staticmethod
    def is_write(method, _path):
        return method != "GET"

    def people(self):
        wanted = ["name", "code", "write_date", "create_date"]
        wanted += [f"contact_mechanisms.{field}" for field in ("type", "value", "write_date", "create_date")]
        order = base64.urlsafe_b64encode(b'[["id","ASC"]]').decode()
        query = urllib.parse.urlencode([("f", field) for field in wanted] + [("o", order), ("s", 100)])
        found = []
        while True:
            page = call("GET", f"{self.api}/party.party?{query}&p={len(found)}", self.headers)
            found += page
            if len(page) < 100:
                break
        return [self._person(one) for one in found]

    @staticmethod
    def _person(party):
        ways = party["contact_mechanisms"]
        emails = [way["value"] for way in ways if way["type"] == "email"]
        return {
            "id": party["id"],
            "email": emails[0] if emails else "",
            "emails": emails,
            "name": party["name"] or "",
            "phones": [way["value"] for way in ways if way["type"] in ("phone", "mobile")],
            "phone_ids": [way["id"] for way in ways if way["type"] in ("phone", "mobile")],
            "stamp": [moment(one.get("write_date") or one.get("create_date")) for one in [party, *ways]],
        }

    def create(self, person):
        ways = [{"type": kind, "value": value} for kind, value in (("email", person["email"]), ("phone", person["phone"])) if value]
        body = {"name": person["name"], "code": person["id"], "contact_mechanisms": [["create", ways]]}
        call("POST", f"{self.api}/party.party", self.headers, body)

    def update(self, found, wanted):
        body = {"name": wanted["name"]}
        if found["phone_ids"]:
            body["contact_mechanisms"] = [["write", found["phone_ids"][:1], {"value": wanted["phone"]}]]
        elif wanted["phone"]:
            body["contact_mechanisms"] = [["create", [{"type": "phone", "value": wanted["phone"]}]]]
        call("PUT", f"{self.api}/party.party/{found['id']}", self.headers, body)

    def change_phone(self, found, phone):
        """On the phone's own record: the party's own time of change does not move then."""
        call("PUT", f"{self.api}/party.contact_mechanism/{found['phone_ids'][0]}", self.headers, {"value": phone})


class Ghost:
    """Ghost: marketing. A person is a member; phone and company have no place but as JSON in its note."""

    name, role, credential = "ghost", "marketing", "admin_key"
    fields = ("email", "name", "phone", "company")

    def __init__(self, env):
        self.url = env["GHOST_URL"]
        self.api = self.url + "/ghost/api/admin"
        self.key = env["GHOST_ADMIN_KEY"]
        self.secret = {"GHOST_ADMIN_KEY": self.key}

    @staticmethod
    def is_write(method, _path):
        return method != "GET"

    @property
    def headers(self):
        """A token of five minutes, signed with the secret half of the key."""
        key_id, secret = self.key.split(":")
        now = int(time.time())

        def part(value):
            return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

        signed = part({"alg": "HS256", "typ": "JWT", "kid": key_id}) + b"."
        signed += part({"iat": now, "exp": now + 300, "aud": "/admin/"})
        signature = hmac.new(bytes.fromhex(secret), signed, hashlib.sha256).digest()
        token = signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
        return {"Authorization": "Ghost " + token.decode(), "Accept-Version": "v6.0"}

    def people(self):
        found, page = [], 1
        while page:
            query = urllib.parse.urlencode({"limit": 100, "page": page, "order": "created_at asc,id asc"})
            answer = call("GET", f"{self.api}/members/?{query}", self.headers)
            found += answer["members"]
            page = answer["meta"]["pagination"]["next"]
        return [self._person(one) for one in found]

    @staticmethod
    def _person(member):
        try:
            note = json.loads(member["note"] or "{}")
        except ValueError:
            note = {"text": member["note"]}
        return {
            "id": member["id"],
            "email": member["email"],
            "name": member["name"] or "",
            "phones": [note["phone"]] if note.get("phone") else [],
            "company": note.get("company", ""),
            "note": note,
            "stamp": member["updated_at"],
        }

    def create(self, person):
        note = {key: person[key] for key in ("id", "phone", "company") if person.get(key)}
        member = {"email": person["email"], "name": person["name"], "note": json.dumps(note)}
        call("POST", f"{self.api}/members/", self.headers, {"members": [member]})

    def update(self, found, wanted):
        note = found["note"] | {key: wanted[key] for key in ("phone", "company") if wanted[key]}
        member = {"name": wanted["name"], "note": json.dumps(note)}
        call("PUT", f"{self.api}/members/{found['id']}/", self.headers, {"members": [member]})

    def change_phone(self, found, phone):
        member = {"note": json.dumps(found["note"] | {"phone": phone})}
        call("PUT", f"{self.api}/members/{found['id']}/", self.headers, {"members": [member]})


ALL = [Rt, Tryton, Ghost]
