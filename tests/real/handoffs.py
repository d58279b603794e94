"""A lead becomes a party with an opportunity, its conversion a user with a ticket: what the tools themselves say of it.

The lead is a line in a partner's file, with Ghost beside it a member who gets a label.
"""

import json
import os
import urllib.parse

import check
from tools import Ghost, Rt, Tryton, call

LEAD = {"id": "", "name": "Lena Lead", "email": "lena.lead@example.org", "phone": "+12025550198"}
OTHER = {"id": "", "name": "Otto Other", "email": "otto.other@example.org", "phone": "+12025550199"}

RULES = """
handoffs:
  lead-to-sales: {from: %s, when: "%s", to: tryton, carry: [email, full_name], within: 15m, create: true, open: opportunity}
  converted-to-support: {from: tryton, when: "opportunity.status in ['converted', 'won']", to: rt, carry: [email, full_name], within: 1h, create: true, open: ticket}
  solved-to-sales: {from: rt, when: "ticket.status == 'resolved'", to: tryton, carry: [email], within: 1h}
  refused-to-sales: {from: rt, when: "ticket.status == 'rejected'", to: tryton, carry: [email], within: 1h}
"""
LEADS = """  leads:
    connector: csv
    role: partner
    every: 1m
    write: false
    config: {folder: leads, stream: lead, kind: person, settle: 0s, id: Number, columns: {email: E-mail, full_name: Name, phone: Phone, tier: Class}}
"""


def config(systems):
    """Nobody is made anywhere but by a handoff."""
    lines = ["data_dir: data", "region: US", "systems:"]
    has_ghost = any(isinstance(tool, Ghost) for tool in systems)
    for tool in systems:
        (variable,) = tool.secret
        lines += [f"  {tool.name}:", f"    connector: {tool.name}", f"    role: {tool.role}"]
        lines += ["    config:", f"      url: {tool.url}", f"      {tool.credential}: ${{{variable}}}", "    lag: 0s"]
        lines += ["    create: never"] if isinstance(tool, Ghost) else ["    create: handoff"]
    rules = RULES % (("ghost", "'lead' in (tags or [])") if has_ghost else ("leads", "tier == 'lead'"))
    return "\n".join(lines) + "\n" + ("" if has_ghost else LEADS) + rules


class Source:
    """Where the lead comes from."""

    def __init__(self, systems, home):
        self.ghost = next((tool for tool in systems if isinstance(tool, Ghost)), None)
        self.folder = os.path.join(home, "leads")
        os.makedirs(self.folder, exist_ok=True)

    def begin(self):
        """Two people who are no leads yet."""
        if self.ghost is None:
            self.put("one", "new", "new")
        else:
            self.ghost.create(LEAD)
            self.ghost.create(OTHER)

    def mark(self):
        """One of them is a lead now."""
        if self.ghost is None:
            self.put("two", "lead", "new")
            return
        lead = check.by_email(self.ghost.people())[LEAD["email"]][0]
        body = {"members": [{"labels": ["lead"]}]}
        call("PUT", f"{self.ghost.api}/members/{lead['id']}/", self.ghost.headers, body)

    def put(self, name, lead, other):
        path = os.path.join(self.folder, f"{name}.csv")
        with open(path + ".part", "w", encoding="utf-8") as file:
            print("Number,E-mail,Name,Phone,Class", file=file)
            for number, (person, tier) in enumerate([(LEAD, lead), (OTHER, other)]):
                print(f"L{number},{person['email']},{person['name']},{person['phone']},{tier}", file=file)
        os.rename(path + ".part", path)


def sales_side(tryton, email):
    """The party of this address and its opportunities."""
    parties = check.by_email(tryton.people()).get(email, [])
    wanted = urllib.parse.urlencode([("f", field) for field in ("party.id", "state", "comment", "description")])
    every = call("GET", f"{tryton.api}/sale.opportunity?{wanted}", tryton.headers)
    ids = [party["id"] for party in parties]
    return parties, [one for one in every if one["party"] and one["party"]["id"] in ids]


def convert(tryton, opportunity):
    """As Tryton's own client does it: somebody takes it on, it is an opportunity, it is converted."""
    (employee,) = call("GET", f"{tryton.api}/company.employee", tryton.headers)
    one = f"{tryton.api}/sale.opportunity/{opportunity['id']}"
    call("PUT", one, tryton.headers, {"employee": employee["id"]})
    call("POST", f"{one}/opportunity", tryton.headers, {})
    call("POST", f"{one}/convert", tryton.headers, {})


def support_side(rt, email):
    """The user of this address and the tickets that ask for it."""
    users = check.by_email(rt.people()).get(email, [])
    found = []
    for user in users:
        query = urllib.parse.urlencode({"query": f"Requestor.Name = '{user['id']}'", "fields": "Subject,Status"})
        found += call("GET", f"{rt.api}/tickets?{query}", rt.headers)["items"]
    return users, found


def end(rt, ticket, status):
    """An agent takes a ticket and ends it."""
    call("PUT", f"{rt.api}/ticket/{ticket}", rt.headers, {"Owner": "root", "Status": status})


def passages(nivel, rule):
    """What `nivel handoffs` says: (state, record, opened) of each passage."""
    _, out, _ = nivel.ask("handoffs", "--csv", "--rule", rule)
    head, *rows = [line.split(",") for line in out.strip().splitlines()]
    return [tuple(row[head.index(column)] for column in ("state", "record", "opened")) for row in rows]


def once(found, what):
    return [] if len(found) == 1 else [f"{len(found)} {what}: {json.dumps(found)[:400]}"]


def step(tally, sync, nivel, what):
    """Twice: a file is taken when it is the same at two looks."""
    sync(tally, nivel, f"{what}: a first look")
    sync(tally, nivel, what)


def walk(tally, systems, nivel, sync):
    """The whole way, with what each tool says after each step."""
    tryton = next(tool for tool in systems if isinstance(tool, Tryton))
    rt = next(tool for tool in systems if isinstance(tool, Rt))
    source = Source(systems, nivel.home)
    source.begin()
    step(tally, sync, nivel, "before there is a lead")
    parties, opportunities = sales_side(tryton, LEAD["email"])
    tally.check("no lead, no party", [str(one) for one in parties + opportunities])

    source.mark()
    step(tally, sync, nivel, "the lead")
    parties, opportunities = sales_side(tryton, LEAD["email"])
    tally.check("tryton: the lead is a party, once", once(parties, "parties"))
    if not tally.check("tryton: with one opportunity", once(opportunities, "opportunities")):
        return
    tally.check("tryton: nobody else came along", [str(one) for one in sales_side(tryton, OTHER["email"])[0]])
    tally.check("rt: not before the conversion", [str(one) for one in support_side(rt, LEAD["email"])[0]])
    proof = passages(nivel, "lead-to-sales")
    wanted = [("delivered", f"tryton/party/{parties[0]['id']}", f"tryton/opportunity/{opportunities[0]['id']}")]
    tally.check("nivel handoffs: the lead arrived, with proof", [] if proof == wanted else [f"{proof}, not {wanted}"])

    convert(tryton, opportunities[0])
    step(tally, sync, nivel, "the conversion")
    users, tickets = support_side(rt, LEAD["email"])
    tally.check("rt: the customer is a user, once", once(users, "users"))
    if not tally.check("rt: with one ticket", once(tickets, "tickets")):
        return
    proof = passages(nivel, "converted-to-support")
    wanted = [("delivered", f"rt/user/{users[0]['id']}", f"rt/ticket/{tickets[0]['id']}")]
    tally.check("nivel handoffs: the customer arrived, with proof", [] if proof == wanted else [f"{proof}, not {wanted}"])
    taken = passages(nivel, "lead-to-sales")
    tally.check("nivel handoffs: the lead was taken on", [] if [one[0] for one in taken] == ["accepted"] else [str(taken)])

    refused = {"Queue": "General", "Subject": "Not for us", "Requestor": users[0]["id"], "Content": "-", "ContentType": "text/plain"}
    end(rt, tickets[0]["id"], "resolved")
    end(rt, call("POST", f"{rt.api}/ticket", rt.headers, refused)["id"], "rejected")
    step(tally, sync, nivel, "the tickets end")
    taken = passages(nivel, "converted-to-support")
    tally.check("nivel handoffs: support has taken the customer on", [] if [one[0] for one in taken] == ["accepted"] else [str(taken)])
    for rule in ("solved-to-sales", "refused-to-sales"):
        told = [one[1] for one in passages(nivel, rule) if one[0] in ("delivered", "accepted")]
        wanted = [f"tryton/party/{parties[0]['id']}"]
        tally.check(f"nivel handoffs: {rule} arrived, once", [] if told == wanted else [f"{told}, not {wanted}"])

    sync(tally, nivel, "once more, with nothing changed")
    again = (*sales_side(tryton, LEAD["email"])[1], *support_side(rt, LEAD["email"])[1])
    tally.check("nothing is opened twice", [] if len(again) == 3 else [str(again)])
