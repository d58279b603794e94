"""Mailchimp's own client against the sandbox."""

import hashlib

from lib import Tool, done, fails, step
from mailchimp_marketing import Client
from mailchimp_marketing.api_client import ApiClientError

SANDBOX = Tool("mailchimp")
LIST = SANDBOX.config["list"]


def client(key):
    made = Client()
    made.set_config({"api_key": key, "server": "us19"})
    # The client speaks TLS to a data centre; only where it speaks to is changed.
    made.api_client.host = f"{SANDBOX.base_url}/3.0"
    made.api_client.server = ""
    return made


LISTS = client(SANDBOX.config["key"]).lists


def hashed(email):
    return hashlib.md5(email.lower().encode()).hexdigest()


def truth(email):
    return next((one for one in SANDBOX.people() if one["email"] == email), None)


def refused(call, status, *words):
    error = fails(ApiClientError, call)
    assert error.status_code == status, error.text
    for word in words:
        assert word in error.text, error.text
    return error


def the_account():
    assert client(SANDBOX.config["key"]).ping.get()["health_status"]
    assert [one["id"] for one in LISTS.get_all_lists()["lists"]] == [LIST]
    assert LISTS.get_list(LIST, fields=["id"]) == {"id": LIST}
    tags = [one["tag"] for one in LISTS.get_list_merge_fields(LIST)["merge_fields"]]
    assert {"FNAME", "LNAME", "PHONE"} <= set(tags)


def everybody_in_pages():
    seen, offset = [], 0
    while True:
        page = LISTS.get_list_members_info(LIST, count=40, offset=offset, exclude_fields=["members._links", "members.stats"])
        seen += page["members"]
        offset += 40
        if offset >= page["total_items"]:
            break
    people = SANDBOX.people()
    assert len(seen) > 80, f"{len(seen)} are no pages"
    assert sorted(one["email_address"] for one in seen) == sorted(one["email"] for one in people)
    assert all(one["id"] == hashed(one["email_address"]) for one in seen)
    assert not any("stats" in one or "_links" in one for one in seen)
    some = LISTS.get_list_members_info(LIST, fields=["members.contact_id"], count=2)
    assert [list(one) for one in some["members"]] == [["contact_id"], ["contact_id"]] and list(some) == ["members"]


def one_is_made_changed_found():
    made = LISTS.add_list_member(LIST, {"email_address": "Client@nivel.test", "status": "subscribed", "merge_fields": {"FNAME": "Clio"}})
    assert made["id"] == hashed("client@nivel.test") and made["full_name"] == "Clio"
    for name in (made["id"], made["contact_id"], "client@nivel.test"):
        assert LISTS.get_list_member(LIST, name)["contact_id"] == made["contact_id"]
    changed = LISTS.update_list_member(LIST, made["id"], {"merge_fields": {"LNAME": "Ent"}, "email_address": "new@nivel.test"})
    assert changed["contact_id"] == made["contact_id"] and changed["id"] == hashed("new@nivel.test")
    assert truth("new@nivel.test")["full_name"] == "Clio Ent"
    LISTS.update_list_member_tags(LIST, changed["id"], {"tags": [{"name": "vip", "status": "active"}]})
    assert [one["name"] for one in LISTS.get_list_member_tags(LIST, changed["id"])["tags"]] == ["vip"]
    again = LISTS.set_list_member(LIST, changed["id"], {"email_address": "new@nivel.test", "status_if_new": "pending", "merge_fields": {"PHONE": "1"}})
    assert again["status"] == "subscribed" and again["merge_fields"] == {"FNAME": "Clio", "LNAME": "Ent", "PHONE": "1"}
    since = LISTS.get_list_members_info(LIST, since_last_changed="2100-01-01T00:00:00+00:00")
    assert since["total_items"] == 0
    last = LISTS.get_list_members_info(LIST, sort_field="last_changed", sort_dir="DESC", count=1)["members"][0]
    assert last["contact_id"] == made["contact_id"]
    strict = LISTS.get_list_members_info(LIST, since_last_changed=last["last_changed"])
    assert strict["total_items"] == 0, "since means after"


def a_batch_says_which_rows_are_in():
    row = lambda email, **more: {"email_address": email, "status": "transactional", **more}  # noqa: E731
    rows = [row("b1@nivel.test"), row("b2@nivel.test"), row("nonsense"), row("new@nivel.test")]
    first = LISTS.batch_list_members(LIST, {"members": rows, "update_existing": False})
    assert (first["total_created"], first["total_updated"], first["error_count"]) == (2, 0, 2)
    codes = {one["email_address"]: one["error_code"] for one in first["errors"]}
    assert codes == {"nonsense": "ERROR_GENERIC", "new@nivel.test": "ERROR_CONTACT_EXISTS"}
    second = LISTS.batch_list_members(LIST, {"members": [row("b1@nivel.test", merge_fields={"FNAME": "Up"})], "update_existing": True})
    assert [one["merge_fields"]["FNAME"] for one in second["updated_members"]] == ["Up"]
    refused(lambda: LISTS.batch_list_members(LIST, {"members": [row(f"m{i}@nivel.test") for i in range(501)]}), 400)


def what_is_wrong_has_the_clients_own_error():
    add = lambda **body: LISTS.add_list_member(LIST, body)  # noqa: E731
    refused(lambda: add(email_address="no address", status="subscribed"), 400, "Invalid Resource", "looks fake")
    refused(lambda: add(email_address="new@nivel.test", status="subscribed"), 400, "Member Exists")
    refused(lambda: add(email_address="x@nivel.test", status="whatever"), 400, "Invalid Resource")
    LISTS.update_list_member(LIST, hashed("new@nivel.test"), {"status": "unsubscribed"})
    back = {"email_address": "new@nivel.test", "status": "subscribed"}
    refused(lambda: LISTS.update_list_member(LIST, hashed("new@nivel.test"), back), 400, "Member In Compliance State")
    refused(lambda: LISTS.get_list_member(LIST, "f" * 32), 404, "Resource Not Found")
    refused(lambda: LISTS.get_list("nonsense"), 404)


def a_refused_key_and_a_limit():
    refused(lambda: client("wrong-us19").lists.get_all_lists(), 401, "API Key Invalid")
    SANDBOX.fault("throttle")
    refused(lambda: LISTS.get_all_lists(), 429, "Too Many Requests")


def archived_can_come_back_and_erased_cannot():
    name = hashed("new@nivel.test")
    assert LISTS.delete_list_member(LIST, name).status_code == 204
    assert truth("new@nivel.test") is None
    gone = LISTS.get_list_members_info(LIST, status="archived")["members"]
    assert [one["email_address"] for one in gone] == ["new@nivel.test"]
    back = LISTS.add_list_member(LIST, {"email_address": "new@nivel.test", "status": "transactional"})
    assert back["contact_id"] == gone[0]["contact_id"] and truth("new@nivel.test")
    LISTS.delete_list_member_permanent(LIST, name)
    refused(lambda: LISTS.get_list_member(LIST, name), 404)
    refused(lambda: LISTS.add_list_member(LIST, {"email_address": "new@nivel.test", "status": "subscribed"}), 400, "Forgotten Email")


for work in (
    the_account,
    everybody_in_pages,
    one_is_made_changed_found,
    a_batch_says_which_rows_are_in,
    what_is_wrong_has_the_clients_own_error,
    a_refused_key_and_a_limit,
    archived_can_come_back_and_erased_cannot,
):
    step(work)
done("mailchimp-marketing")
