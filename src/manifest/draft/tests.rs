use super::*;
use crate::manifest::{Manifest, lint};

const SPEC: &str = r##"
openapi: 3.0.3
info: {title: Acme CRM}
servers: [{url: "https://api.acme.test/v1/"}]
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Acme-Key}}
  parameters: {size: {name: per_page, in: query, schema: {type: integer, maximum: 250}}}
  schemas:
    Base: {type: object, properties: {id: {type: integer}, updated_at: {type: string, format: date-time}}}
    Person:
      allOf:
        - {$ref: "#/components/schemas/Base"}
        - type: object
          properties:
            first_name: {type: string}
            last_name: {type: [string, "null"]}
            email: {type: string, format: email}
            mobile_phone: {type: string}
            labels: {type: array, items: {type: string}}
            vip: {type: boolean}
            employer: {type: object, properties: {company_name: {type: string}}}
    Loop: {$ref: "#/components/schemas/Loop"}
paths:
  /invoices:
    get: {responses: {"200": {content: {application/json: {schema: {type: array, items: {type: object, properties: {id: {type: string}}}}}}}}}
  /people:
    get:
      parameters:
        - {$ref: "#/components/parameters/size"}
        - {name: page, in: query}
        - {name: updated_since, in: query}
        - {name: email, in: query}
      responses:
        "200":
          content:
            application/json:
              schema: {type: object, properties: {loop: {$ref: "#/components/schemas/Loop"}, data: {type: array, items: {$ref: "#/components/schemas/Person"}}}}
    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {person: {$ref: "#/components/schemas/Person"}}}}}}}
  /people/{id}:
    get: {}
    patch: {requestBody: {content: {application/json: {schema: {type: object, properties: {person: {$ref: "#/components/schemas/Person"}}}}}}}
"##;

fn in_order(draft: &Draft) -> String {
    let text = manifest(draft);
    let parsed = Manifest::parse("draft.yaml", &text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
    assert_eq!(lint(&parsed), [], "{text}");
    text
}

#[test]
fn a_description_becomes_a_manifest_that_says_what_it_guessed() {
    let proposal = propose("acme", SPEC, None).unwrap();
    assert_eq!(proposal.others, ["/invoices"]);
    let draft = proposal.draft;
    assert_eq!(
        (draft.base.as_str(), &draft.login),
        ("https://api.acme.test/v1/", &Login::Header("x-acme-key".into()))
    );
    assert_eq!(
        (draft.object.as_str(), draft.records.as_str(), draft.id.as_str()),
        ("person", "data", "id")
    );
    assert_eq!(draft.pages, Pages::Number("page".into()));
    assert_eq!(draft.size, Some(("per_page".into(), 250)));
    assert_eq!(
        (draft.since.as_deref(), draft.find.as_deref()),
        (Some("updated_since"), Some("email"))
    );
    assert_eq!(draft.modified, Some(("updated_at".into(), "rfc3339".into())));
    assert_eq!(draft.create.as_ref().unwrap().inside.as_deref(), Some("person"));
    assert_eq!(draft.update.as_ref().unwrap().method, "PATCH");
    let fields: Vec<_> = draft
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field.to.as_str()))
        .collect();
    let expected = [
        ("email", "email"),
        ("company", "employer.company_name"),
        ("given_name", "first_name"),
        ("tags", "labels"),
        ("family_name", "last_name"),
        ("phone", "mobile_phone"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(draft.others, ["updated_at", "vip"]);
    let text = in_order(&draft);
    assert!(
        text.contains("# unverified") && text.contains("\nunverified:\n"),
        "{text}"
    );
}

#[test]
fn json_is_read_too_and_another_list_can_be_asked_for() {
    let spec: serde_json::Value = serde_saphyr::from_str(SPEC).unwrap();
    let draft = propose("acme", &spec.to_string(), Some("/invoices")).unwrap().draft;
    assert_eq!((draft.object.as_str(), draft.records.as_str()), ("invoice", ""));
    let why = propose("acme", SPEC, Some("/cats")).unwrap_err();
    assert_eq!(why, "has no list at `/cats`; it has /people, /invoices");
    assert!(
        propose("acme", "openapi: 3.0.0", None)
            .unwrap_err()
            .contains("no request")
    );
    assert!(propose("acme", "{", None).unwrap_err().starts_with("is not JSON"));
    assert!(propose("acme", "a: [", None).unwrap_err().starts_with("is not YAML"));
}

#[test]
fn a_list_below_other_objects_is_read_below_each_of_them() {
    let people = "get: {responses: {\"200\": {content: {application/json: {schema: {type: object, properties: {members: {type: array, items: {$ref: \"#/components/schemas/Person\"}}}}}}}}}";
    let spec = format!(
        "{SPEC}  /invoices/{{nr}}/members:\n    {people}\n  /invoices/{{nr}}/members/{{id}}: {{get: {{}}, patch: {{}}}}\n  /unlisted/{{id}}/members:\n    {people}\n  /a/{{b}}/c/{{d}}/members:\n    {people}\n"
    );
    let proposal = propose("acme", &spec, None).unwrap();
    assert_eq!(proposal.others, ["/invoices/{nr}/members", "/invoices"]);
    let draft = propose("acme", &spec, Some("/invoices/{nr}/members")).unwrap().draft;
    assert_eq!(
        (draft.list.as_str(), draft.check.as_str()),
        ("/invoices/{{ parent }}/members", "/invoices")
    );
    assert_eq!(draft.get.as_deref(), Some("/invoices/{{ parent }}/members/{{ id }}"));
    let text = in_order(&draft);
    assert!(
        text.contains("parents: {in_id: true, list: {request: GET /invoices, records: one, id: id}}"),
        "{text}"
    );
}

/// A list without anything that a name tells is a manifest all the same.
#[test]
fn an_object_of_unknown_members_is_still_a_manifest() {
    let spec = SPEC.replace("id: {type: string}", "shoe_size: {type: integer}");
    let draft = propose("acme", &spec, Some("/invoices")).unwrap().draft;
    assert!(draft.fields.is_empty());
    let text = manifest(&draft);
    Manifest::parse("draft.yaml", &text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
}

#[test]
fn what_a_person_answers_becomes_a_manifest_in_order() {
    let way = |method: &str, path: &str| Way {
        method: method.into(),
        path: path.into(),
        inside: None,
    };
    let mut draft = Draft {
        name: "desk".into(),
        doc: "Our \"desk\": cards".into(),
        base: "https://desk.test".into(),
        login: Login::Basic,
        check: "/me".into(),
        object: "card".into(),
        list: "/cards".into(),
        id: "no".into(),
        modified: Some(("stamp".into(), "s".into())),
        since: Some("changed".into()),
        find: Some("mail".into()),
        get: Some("/cards/{{ id }}".into()),
        create: Some(way("POST", "/cards")),
        update: Some(way("PUT", "/cards/{{ id }}")),
        ..Draft::default()
    };
    draft.map_by_name([("mail", ""), ("name", ""), ("shoe_size", "int")]);
    for (pages, size) in [
        (Pages::One, None),
        (Pages::Skip("skip".into()), Some(("take".to_owned(), 50))),
        (Pages::Token("cursor".into(), "next".into()), None),
        (Pages::Url("links.next".into()), None),
        (Pages::Number("page".into()), Some(("limit".to_owned(), 10))),
    ] {
        let text = in_order(&Draft {
            pages,
            size,
            ..draft.clone()
        });
        assert!(text.contains("# The tool also has: shoe_size"), "{text}");
    }
    let bare = Draft {
        since: None,
        modified: None,
        find: None,
        get: None,
        create: None,
        update: None,
        ..draft
    };
    in_order(&bare);
}
