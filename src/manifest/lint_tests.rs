//! One line of nonsense each in a manifest that is otherwise in order.

use super::{Manifest, lint};

const GOOD: &str = "
connector: good
format: 1
base: '{{ config.url }}/v1'
config: {url: {type: url}, token: {secret: true}}
auth: {bearer: '{{ config.token }}'}
check: GET /me
errors: [{status: 401, class: auth}]
objects:
  contact:
    id: id
    match: [email]
    modified: updated_at
    read:
      window: {start: 2010-01-01T00:00:00Z, lag: 5s}
      request: GET /contacts
      query: {since: '{{ window.since | rfc3339 }}'}
      records: rows
      page: {by: token, from: next, to: query.after}
      deleted: record.gone
    get: {request: 'GET /contacts/{{ id }}'}
    find: {email: {request: GET /search, query: {q: '{{ value }}'}, records: rows}}
    write:
      create: {request: POST /contacts, body: '{{ remote }}'}
      update: {request: 'PUT /contacts/{{ id }}', by: id, body: '{{ remote }}'}
      result: {one: {id: id}}
    fields:
      email: {to: email, type: email}
      name: name
webhook:
  verify: {hmac: sha256, key: '{{ config.token }}', over: '{{ body }}', equals: header:x-sig}
  events: {object: contact, id: id}
";

#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    let yaml = GOOD.replace(from, to);
    assert_ne!(yaml, GOOD, "`{from}` is not there");
    let manifest = Manifest::parse("m.yaml", &yaml).unwrap_or_else(|problems| panic!("{problems:?}"));
    let told: Vec<_> = lint(&manifest).iter().map(ToString::to_string).collect();
    assert!(
        told.iter().any(|line| line.contains(expected)),
        "{expected} is not in {told:#?}"
    );
}

#[test]
fn a_manifest_in_order() {
    assert_eq!(lint(&Manifest::parse("m.yaml", GOOD).unwrap()), []);
}

#[test]
fn the_rarer_words() {
    let manifest = Manifest::parse("partitioned.yaml", include_str!("fixtures/partitioned.yaml"));
    let manifest = manifest.unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(lint(&manifest), []);
    let read = manifest.objects["member"].read.as_ref().unwrap();
    assert_eq!(read.partition["status"].len(), 6);
    assert!(matches!(
        read.page,
        Some(super::Paging::Offset {
            step: 1000,
            guard: Some(_),
            ..
        })
    ));
    assert_eq!(manifest.webhook.as_ref().unwrap().verify.len(), 2);
}

#[test]
fn names_that_do_not_exist() {
    check(
        "{{ value }}",
        "{{ valeu }}",
        "MAN002 m.yaml:22:53: `valeu` is not known here (hint: did you mean `value`?)",
    );
    check(
        "config.token }}'}\ncheck",
        "config.tokn }}'}\ncheck",
        "setting `tokn` is not declared in `config` (hint: did you mean `token`?)",
    );
    check("window.since", "window.sinc", "`window.sinc` is not known here");
    check("record.gone", "recrd.gone", "`recrd.gone` is not known here");
    check(
        "'PUT /contacts/{{ id }}'",
        "'PUT /contacts/{{ ids }}'",
        "`ids` is not known here",
    );
    check("over: '{{ body }}'", "over: '{{ bdy }}'", "`bdy` is not known here");
    check(
        "name: name",
        "name: {to: name, write: '{{ given_nam }}'}",
        "`given_nam` is not known here",
    );
    check(
        "match: [email]",
        "match: [emial]",
        "`emial` is not one of `fields` (hint: did you mean `email`?)",
    );
    check("object: contact", "object: contacts", "there is no object `contacts`");
    check(
        "token: {secret: true}}",
        "token: {secret: true}, other: {}}",
        "setting `other` is never used",
    );
}

#[test]
fn reading_that_would_lose() {
    check("lag: 5s", "lag: 0s", "`lag` and `overlap` must not be 0");
    check("lag: 5s", "lag: 5s, overlap: 0s", "`lag` and `overlap` must not be 0");
    check(
        "{{ window.since | rfc3339 }}",
        "x",
        "the request does not use `window.since`",
    );
    check(
        "window: {start: 2010-01-01T00:00:00Z, lag: 5s}",
        "partition: {}",
        "nothing says what the state of reading is",
    );
    check(", to: query.after", "", "the next page is never asked for");
    check(
        "by: token, from: next, to: query.after",
        "by: cursor, until: done",
        "`page: {by: cursor}` and `cursor` belong together",
    );
    check("      deleted: record.gone\n", "", "removed objects are never noticed");
    let newest = "window: {start: 2010-01-01T00:00:00Z, lag: 5s, order: newest}";
    let yaml = GOOD
        .replace("window: {start: 2010-01-01T00:00:00Z, lag: 5s}", newest)
        .replace("modified: updated_at", "version: v");
    let told = lint(&Manifest::parse("m.yaml", &yaml).unwrap());
    assert!(
        told.iter()
            .any(|problem| problem.message == "`order: newest` needs `modified`"),
        "{told:?}"
    );
}

#[test]
fn writing_that_would_double_or_overwrite() {
    check(
        "    find: {email: {request: GET /search, query: {q: '{{ value }}'}, records: rows}}\n",
        "",
        "would be doubled",
    );
    check(
        "result: {one: {id: id}}",
        "result: {}",
        "nothing says how the answer accounts for the operations",
    );
    check(
        "by: id, body: '{{ remote }}'",
        "by: id, list: rows, item: '{{ remote }}'",
        "nothing says how the answer accounts",
    );
    check(
        "by: id, body",
        "max: 5, by: id, body",
        "several operations need a `list`, `each` or `keys`",
    );
    check("by: id, body", "body", "`by` is missing");
    check("by: id, body", "by: code, body", "`by: code` is not one of `fields`");
    check(
        "by: id, body",
        "if: 'ops > 1', by: id, body",
        "the last way to write must have no `if`",
    );
    check(
        "name: name",
        "name: {to: 'names[main].text'}",
        "writing it would overwrite what stands beside it",
    );
    check("name: name", "name: email", "is written to `email` as well");
    check(
        "name: name",
        "name: {to: name, write: forward_only}",
        "`forward_only` needs an `enum`",
    );
    check("GET /contacts/{{ id }}", "GET /contacts", "the request must use `id`");
}

#[test]
fn heads_and_hooks() {
    check(
        "class: auth",
        "class: invalid",
        "no rule says which answer means that the credential is not accepted",
    );
    check("check: GET /me\n", "", "`check` is missing");
    check(", equals: header:x-sig", "", "`hmac` needs `key`, `over` and `equals`");
    check(
        "hmac: sha256",
        "path_secret: '{{ config.token }}', hmac: sha256",
        "it is exactly one of",
    );
    check(", id: id}\n", "}\n", "nothing says which object an event is about");
}

#[test]
fn nobody_is_made_twice_without_a_word() {
    let second = |word: &str| {
        let second = "  lead:\n    id: id\nWORD    read: {full: {every: 1d}, request: GET /leads, records: rows}\n    \
                      write: {create: {request: POST /leads, body: '{{ remote }}'}, result: {one: {id: id}}}\n    \
                      fields: {email: {to: email, type: email}}\nwebhook:";
        second.replace("WORD", word)
    };
    let nothing = "    instead_of: nothing\n";
    let line = |word: &str| format!("    {word}\n");
    check(
        "webhook:",
        &second(""),
        "one customer could be made as `contact` and as `lead`",
    );
    check(
        "webhook:",
        &second(&line("instead_of: contacts")),
        "there is no other object `contacts`",
    );
    check(
        "webhook:",
        &second(&line("instead_of: lead")),
        "there is no other object `lead`",
    );
    for word in [nothing, "    instead_of: contact\n"] {
        let yaml = GOOD.replace("webhook:", &second(word));
        let manifest = Manifest::parse("m.yaml", &yaml).unwrap_or_else(|problems| panic!("{problems:?}"));
        let told: Vec<_> = lint(&manifest).iter().map(ToString::to_string).collect();
        assert!(told.iter().all(|line| !line.contains("made")), "{told:#?}");
    }
}
