"""simple-salesforce, the client most people use for Salesforce in Python, against the sandbox."""

import csv
import io
import json
import urllib.parse
import urllib.request

import requests
from lib import Tool, done, fails, step
from simple_salesforce import Salesforce, format_soql
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

SANDBOX = Tool("salesforce")


class Plain(requests.adapters.HTTPAdapter):
    """The client speaks TLS always; the sandbox does not."""

    def send(self, request, **options):
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **options)


def token():
    form = {"grant_type": "client_credentials", **{name: SANDBOX.config[name] for name in ("client_id", "client_secret")}}
    with urllib.request.urlopen(f"{SANDBOX.base_url}/services/oauth2/token", urllib.parse.urlencode(form).encode()) as answer:
        return json.load(answer)


def client(session_id):
    session = requests.Session()
    session.mount("https://", Plain())
    host = GRANT["instance_url"].replace("http://", "https://")
    return Salesforce(session_id=session_id, instance_url=host, session=session, version="60.0")


GRANT = token()
CLIENT = client(GRANT["access_token"])


def truth(id_):
    return next((one for one in SANDBOX.people() if one["raw"]["Id"] == id_), None)


def error(kind, call, code):
    found = fails(kind, call)
    assert found.content[0]["errorCode"] == code, found.content
    return found


def the_account():
    assert "Contact" in [one["name"] for one in CLIENT.describe()["sobjects"]]
    fields = {one["name"] for one in CLIENT.Contact.describe()["fields"]}
    assert {"Email", "LastName", "SystemModstamp"} <= fields
    assert CLIENT.limits()["DailyApiRequests"]["Max"] > 0
    assert CLIENT.api_usage["api-usage"].total == 100000


def everybody_in_pages():
    CLIENT.headers["Sforce-Query-Options"] = "batchSize=200"
    for at in range(250):
        CLIENT.Contact.create({"LastName": f"Filler {at}"})
    soql = "SELECT Id, Name, Email, SystemModstamp FROM Contact ORDER BY SystemModstamp, Id"
    seen = list(CLIENT.query_all_iter(soql))
    people = SANDBOX.people()
    assert len(seen) > 400, f"{len(seen)} are no pages"
    assert sorted(one["Id"] for one in seen) == sorted(one["raw"]["Id"] for one in people)
    assert CLIENT.query_all(soql)["totalSize"] == len(people)
    times = [one["SystemModstamp"] for one in seen]
    assert times == sorted(times)
    assert all(one["attributes"]["type"] == "Contact" for one in seen)
    by_key, last = [], ""
    while True:
        rows = CLIENT.query(format_soql("SELECT Id FROM Contact WHERE Id > {} ORDER BY Id LIMIT 100", last))["records"]
        if not rows:
            break
        last = rows[-1]["Id"]
        by_key += [one["Id"] for one in rows]
    assert sorted(by_key) == sorted(one["Id"] for one in seen), "a keyset reads all"


def everybody_by_a_job():
    query = "SELECT Id, Email, IsDeleted FROM Contact"
    tables = list(CLIENT.bulk2.Contact.query_all(query, max_records=100, wait=0.1))
    rows = [row for table in tables for row in csv.DictReader(io.StringIO(table))]
    people = {one["raw"]["Id"]: one["raw"]["Email"] or "" for one in SANDBOX.people()}
    assert len(tables) == -(-len(rows) // 100) > 2, f"{len(tables)} tables of {len(rows)} rows"
    assert {row["Id"]: row["Email"] for row in rows if row["IsDeleted"] == "false"} == people


MADE = {}


def one_is_made_changed_found():
    made = CLIENT.Contact.create({"LastName": "Ent", "FirstName": "Clio", "Email": "o'neil@nivel.test"})
    assert made["success"] is True and made["errors"] == [] and len(made["id"]) == 18
    MADE["id"] = made["id"]
    assert CLIENT.Contact.update(made["id"], {"Phone": "+358401234567", "FirstName": None}) == 204
    read = CLIENT.Contact.get(made["id"])
    assert (read["Phone"], read["FirstName"], read["Name"]) == ("+358401234567", None, "Ent")
    assert CLIENT.Contact.get(made["id"][:15])["Id"] == made["id"], "15 letters are enough"
    found = CLIENT.query(format_soql("SELECT Id FROM Contact WHERE Email = {}", "O'NEIL@nivel.test"))
    assert [one["Id"] for one in found["records"]] == [made["id"]]
    assert truth(made["id"])["phone"] == "+358401234567"
    lead = CLIENT.Lead.create({"LastName": "Li", "Company": "Globex"})
    assert lead["id"].startswith("00Q") and CLIENT.Lead.get(lead["id"])["Company"] == "Globex"


def an_upsert_by_a_field():
    assert CLIENT.Contact.upsert("Email/up@nivel.test", {"LastName": "Up"}) == 201
    assert CLIENT.Contact.upsert("Email/up@nivel.test", {"LastName": "Upper"}) == 200
    CLIENT.Contact.create({"LastName": "Twin", "Email": "up@nivel.test"})
    fails(SalesforceMoreThanOneRecord, lambda: CLIENT.Contact.upsert("Email/up@nivel.test", {"LastName": "Who"}))


def a_batch_says_which_rows_are_in():
    def rows(method, records, all_or_none=False):
        return CLIENT.restful("composite/sobjects", method=method, json={"allOrNone": all_or_none, "records": records})

    one = lambda **more: {"attributes": {"type": "Contact"}, **more}  # noqa: E731
    made = rows("POST", [one(LastName="B1"), one(FirstName="nameless"), one(LastName="B2", Nonsense__c=1)])
    assert [row["success"] for row in made] == [True, False, False]
    assert [row["errors"][0]["statusCode"] for row in made[1:]] == ["REQUIRED_FIELD_MISSING", "INVALID_FIELD"]
    assert made[1]["errors"][0]["fields"] == ["LastName"]
    before = len(SANDBOX.people())
    all_or_none = rows("POST", [one(LastName="B3"), one()], True)
    assert [row["success"] for row in all_or_none] == [False, False] and len(SANDBOX.people()) == before
    changed = rows("PATCH", [one(Id=made[0]["id"], Phone="1"), one(Id="003RO0000zzzzzzXXX", Phone="1")])
    assert [row["success"] for row in changed] == [True, False] and truth(made[0]["id"])["phone"] == "1"
    ids = {"ids": f"{made[0]['id']},{made[0]['id']}", "allOrNone": "false"}
    gone = CLIENT.restful("composite/sobjects", method="DELETE", params=ids)
    assert [row["success"] for row in gone] == [True, False]
    assert gone[1]["errors"][0]["statusCode"] == "ENTITY_IS_DELETED"


def what_is_wrong_has_the_clients_own_error():
    create = lambda **body: lambda: CLIENT.Contact.create(body)  # noqa: E731
    error(SalesforceMalformedRequest, create(FirstName="nameless"), "REQUIRED_FIELD_MISSING")
    error(SalesforceMalformedRequest, create(LastName="x", Nonsense__c=1), "INVALID_FIELD")
    error(SalesforceMalformedRequest, lambda: CLIENT.query("SELECT Nonsense FROM Contact"), "INVALID_FIELD")
    error(SalesforceMalformedRequest, lambda: CLIENT.query("SELECT Id FROM Nonsense"), "INVALID_TYPE")
    error(SalesforceMalformedRequest, lambda: CLIENT.query("nonsense"), "MALFORMED_QUERY")
    error(SalesforceResourceNotFound, lambda: CLIENT.Contact.get("003RO0000zzzzzzXXX"), "NOT_FOUND")


def a_session_that_is_over_and_a_quota():
    error(SalesforceExpiredSession, lambda: client("wrong").query("SELECT Id FROM Contact"), "INVALID_SESSION_ID")
    SANDBOX.fault("throttle")
    error(SalesforceRefusedRequest, CLIENT.limits, "REQUEST_LIMIT_EXCEEDED")


def one_that_is_deleted_is_in_the_bin():
    assert CLIENT.Contact.delete(MADE["id"]) == 204
    assert truth(MADE["id"]) is None
    soql = format_soql("SELECT Id, IsDeleted FROM Contact WHERE Id IN {}", [MADE["id"]])
    assert CLIENT.query(soql)["totalSize"] == 0
    assert [one["IsDeleted"] for one in CLIENT.query(soql, include_deleted=True)["records"]] == [True]
    error(SalesforceResourceNotFound, lambda: CLIENT.Contact.get(MADE["id"]), "ENTITY_IS_DELETED")
    from datetime import datetime, timedelta, timezone

    now = datetime.now(timezone.utc)
    feed = CLIENT.Contact.deleted(now - timedelta(hours=1), now + timedelta(minutes=1))
    assert MADE["id"] in [one["id"] for one in feed["deletedRecords"]]


for work in (
    the_account,
    everybody_in_pages,
    everybody_by_a_job,
    one_is_made_changed_found,
    an_upsert_by_a_field,
    a_batch_says_which_rows_are_in,
    what_is_wrong_has_the_clients_own_error,
    a_session_that_is_over_and_a_quota,
    one_that_is_deleted_is_in_the_bin,
):
    step(work)
done("simple-salesforce")
