"""Zenpy, the client most people use for Zendesk, against the sandbox."""

import os
import time
from datetime import datetime, timezone

from lib import Tool, done, fails, step

SANDBOX = Tool("zendesk")
# The client speaks TLS to a subdomain, unless it is told otherwise.
os.environ["ZENPY_FORCE_SCHEME"] = "http"
os.environ["ZENPY_FORCE_NETLOC"] = SANDBOX.base_url.removeprefix("http://")

from zenpy import Zenpy  # noqa: E402
from zenpy.lib.api_objects import Ticket, User  # noqa: E402
from zenpy.lib.exception import APIException, RecordNotFoundException  # noqa: E402

CONFIG = {"subdomain": SANDBOX.config["subdomain"], "email": SANDBOX.config["email"], "disable_cache": True}
CLIENT = Zenpy(token=SANDBOX.config["token"], **CONFIG)


def truth(id_):
    return next((one for one in SANDBOX.people() if one["id"] == str(id_)), None)


def everybody_in_pages():
    seen = list(CLIENT.users())
    people = SANDBOX.people()
    assert len(seen) > 100, f"{len(seen)} are no pages"
    assert sorted(str(user.id) for user in seen) == sorted(one["id"] for one in people)
    assert sorted(user.name for user in seen) == sorted(one["full_name"] or "" for one in people)
    assert all(user.created and user.updated for user in seen), "times are times"


def everybody_in_the_export():
    start = datetime(2020, 1, 1, tzinfo=timezone.utc)
    seen = [user.id for user in CLIENT.users.incremental(start_time=start, paginate_by_time=False)]
    assert len(seen) == len(set(seen)) == len(SANDBOX.people()), len(seen)


def one_is_made_changed_found():
    user = CLIENT.users.create(User(name="Clio Ent", email="client@nivel.test", external_id="nivel-1"))
    assert truth(user.id)["email"] == "client@nivel.test"
    user.phone = "+358 40 1234567"
    user.user_fields = {"tier": "gold"}
    changed = CLIENT.users.update(user)
    assert changed.id == user.id and truth(user.id)["phone"] == "+358 40 1234567"
    assert CLIENT.users(id=user.id).user_fields["tier"] == "gold"
    assert [one.id for one in CLIENT.users.search(query="email:client@nivel.test")] == [user.id]
    assert [one.id for one in CLIENT.users.search(external_id="nivel-1")] == [user.id]
    assert [one.id for one in CLIENT.users(external_ids=["nivel-1"])] == [user.id]
    again = CLIENT.users.create_or_update(User(name="Clio", email="CLIENT@nivel.test"))
    assert again.id == user.id and truth(user.id)["full_name"] == "Clio"


def a_batch_is_a_job():
    job = CLIENT.users.create([User(name="One", email="b1@nivel.test"), User(name="", email="b2@nivel.test")])
    results = finished(job)
    assert [row["status"] if isinstance(row, dict) else row.status for row in results][0] == "Created", results
    assert len(results) == 2
    assert "b1@nivel.test" in [one["email"] for one in SANDBOX.people()]
    made = next(CLIENT.users.search(query="email:b1@nivel.test"))
    made.notes = "changed"
    assert len(finished(CLIENT.users.update([made]))) == 1
    assert CLIENT.users(id=made.id).notes == "changed"
    assert [one.id for one in CLIENT.users(ids=[made.id])] == [made.id]
    finished(CLIENT.users.delete([made]))
    assert truth(made.id) is None


def finished(job):
    assert job.id and job.url, "a job can be asked about"
    for _ in range(100):
        job = CLIENT.job_status(id=job.id)
        if job.status == "completed":
            return list(job.results)
        assert job.status in ("queued", "working"), job.status
        time.sleep(0.05)
    raise AssertionError("the job never ends")


def what_is_wrong_has_the_clients_own_error():
    twice = fails(APIException, lambda: CLIENT.users.create(User(name="Twice", email="client@nivel.test")))
    assert twice.response.status_code == 422 and twice.response.json()["error"] == "RecordInvalid"
    assert twice.response.json()["details"]["email"][0]["error"] == "DuplicateValue"
    fails(APIException, lambda: CLIENT.users.create(User(name="")))
    fails(RecordNotFoundException, lambda: CLIENT.users(id=999999999))
    fails(APIException, lambda: list(CLIENT.users.incremental(start_time=datetime.now(timezone.utc))))


def a_refused_token():
    stranger = Zenpy(token="wrong", **CONFIG)
    assert fails(APIException, stranger.users.me).response.status_code == 401
    assert CLIENT.users.me().role == "admin"


def a_limit_is_waited_for():
    SANDBOX.fault("throttle", retry_after_s=1)
    before = time.monotonic()
    assert CLIENT.users.me().id
    assert time.monotonic() - before >= 1, "the client waits as long as it is told"
    assert [row["status"] for row in SANDBOX.requests()][-2:] == [429, 200]


def tickets():
    start = datetime(2020, 1, 1, tzinfo=timezone.utc)
    assert all(isinstance(one, Ticket) for one in CLIENT.tickets.incremental(start_time=start))


def one_that_is_deleted_is_not_active():
    user = next(CLIENT.users.search(query="email:client@nivel.test"))
    assert CLIENT.users.delete(user).active is False
    assert truth(user.id) is None
    assert CLIENT.users(id=user.id).active is False


for work in (
    everybody_in_pages,
    everybody_in_the_export,
    one_is_made_changed_found,
    a_batch_is_a_job,
    what_is_wrong_has_the_clients_own_error,
    a_refused_token,
    a_limit_is_waited_for,
    tickets,
    one_that_is_deleted_is_not_active,
):
    step(work)
done("zenpy")
