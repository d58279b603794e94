//! The mapping both ways: tables for what each type accepts, and the property that what is written and echoed reads the
//! same.

use compact_str::CompactString;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Manifest, Mapper};
use crate::model::{CustomerKey, Fields, Kind, Operation, UnixMillis, Value, WriteAction};

const YAML: &str = "
connector: all
format: 1
base: https://api.example.com
objects:
  contact:
    id: id
    modified: {at: [changed, 'ways[*].changed'], format: s}
    version: etag
    read: {full: {every: 1d}, request: GET /contacts, records: '.', deleted: 'record.state == ''gone'''}
    write: {clear: '', update: {request: PUT /x, by: id, body: '{{ remote }}'}}
    fields:
      _at: p
      email: {to: mail, type: email}
      phone: {to: phone, type: phone}
      given_name: first
      company: nested.company
      active: {to: active, type: bool}
      visits: {to: visits, type: int}
      born: {to: born, type: time, format: '%Y-%m-%d'}
      seen: {to: seen, type: time, format: ms}
      sql_time: {to: sql_time, type: time, format: sql}
      tags: {to: tags, type: set}
      labels: {to: 'labels[*].name', type: set}
      topics: {to: topics, type: set, sep: ';'}
      stage: {to: stage, enum: {lead: 1, customer: 2}, write: forward_only}
      owner: {to: owner, ref: user}
      second: {to: 'mails[primary].value', type: email}
      _mails: {to: mails, type: json, write: never}
      memo: note.$json.memo
      _note: {to: note, write: never}
      first_seen: {to: first_seen, type: time, write: create_only}
      computed: {to: computed, write: \"{{ value | upper if was is none else was }}\"}
      code: {to: code, key: customer}
";

fn phone(text: &str, region: Option<&str>) -> Option<CompactString> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match (text.starts_with('+'), region, digits.len() >= 7) {
        (true, _, true) => Some(format!("+{digits}").into()),
        (false, Some("DE"), true) => Some(format!("+49{}", digits.trim_start_matches('0')).into()),
        _ => None,
    }
}

fn mapper() -> Mapper {
    let manifest = Manifest::parse("all.yaml", YAML).unwrap();
    Mapper::new(&manifest.objects["contact"], Some("DE".into()), phone)
}

#[track_caller]
fn check(field: &str, remote: Json, expected: Result<Option<Value>, &str>) {
    let mut object = json!({"id": 1, "p": {}});
    let top = mapper()
        .fields
        .iter()
        .find(|(name, _)| name.as_str() == field)
        .unwrap()
        .1
        .to
        .names()[1]
        .to_owned();
    object["p"][top] = remote;
    let record = mapper().record_in(&object);
    match expected {
        Ok(value) => {
            assert_eq!(record.problem, None);
            assert_eq!(record.fields.0.get(field), Some(&value), "{field}");
        }
        Err(words) => {
            let problem = record.problem.unwrap();
            assert_eq!(problem.message, format!("field `{field}` holds {words}"));
            assert_eq!(problem.subject, "1");
            assert_eq!(record.fields.0.get(field), None, "{field}");
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn what_each_type_accepts() {
    check("email", json!(" Ana@Example.COM "), Ok(Some(text("ana@example.com"))));
    check(
        "email",
        json!("not an address"),
        Err("text without an e-mail address, not an e-mail address"),
    );
    check("email", json!(["a@b.c"]), Err("a list, not an e-mail address"));
    check("phone", json!("030 1234567"), Ok(Some(text("+49301234567"))));
    check("phone", json!("ext. 12"), Ok(Some(text("ext. 12"))));
    check("phone", json!(493012345), Ok(Some(text("+49493012345"))));
    check("given_name", json!("  "), Ok(None));
    check("given_name", Json::Null, Ok(None));
    check("given_name", json!(5), Ok(Some(text("5"))));
    check("given_name", json!({"x": 1}), Err("an object, not text"));
    check("company", json!({"company": "Acme"}), Ok(Some(text("Acme"))));
    check("active", json!("true"), Ok(Some(Value::Bool(true))));
    check("active", json!(0), Ok(Some(Value::Bool(false))));
    check("active", json!("perhaps"), Err("text, not true or false"));
    check("visits", json!("12"), Ok(Some(Value::Int(12))));
    check("visits", json!(1.5), Err("a number, not a whole number"));
    check(
        "born",
        json!("1980-02-29"),
        Ok(Some(Value::Time(UnixMillis(320_630_400_000)))),
    );
    check(
        "born",
        json!("29.2.1980"),
        Err("text, not a time in the declared format"),
    );
    check("seen", json!("5"), Ok(Some(Value::Time(UnixMillis(5)))));
    check("seen", json!(""), Ok(None));
    check(
        "tags",
        json!(["b", "a", "", "a"]),
        Ok(Some(Value::Set(["a".into(), "b".into()].into()))),
    );
    check("tags", json!([]), Ok(None));
    check(
        "labels",
        json!([{"name": "x"}, {"name": "y"}]),
        Ok(Some(Value::Set(["x".into(), "y".into()].into()))),
    );
    check(
        "topics",
        json!("x;y; "),
        Ok(Some(Value::Set(["x".into(), "y".into()].into()))),
    );
    check("stage", json!(2), Ok(Some(text("customer"))));
    check("stage", json!("2"), Ok(Some(text("customer"))));
    check("stage", json!("new"), Ok(Some(text("new"))));
    check(
        "owner",
        json!(9_007_199_254_740_993_i64),
        Ok(Some(text("9007199254740993"))),
    );
    check("memo", json!("{\"memo\": \"call\"}"), Ok(Some(text("call"))));
}

#[test]
fn what_a_record_says_of_itself() {
    let key = CustomerKey {
        id: Uuid::from_u128(7),
        kind: Kind::Person,
    };
    let object = json!({
        "id": 9_007_199_254_740_993_i64, "changed": 10, "ways": [{"changed": "12"}, {"changed": null}], "etag": 5,
        "state": "gone", "p": {"code": key.to_string()},
    });
    let record = mapper().record_in(&object);
    assert_eq!(record.remote, "9007199254740993");
    assert_eq!(record.updated_at, Some(UnixMillis(12_000)));
    assert_eq!(record.version.as_deref(), Some("5"));
    assert!(record.deleted);
    assert_eq!(record.key, Some(key));
    assert_eq!(record.fields, Fields::default());
    let foreign = mapper().record_in(&json!({"id": "x", "p": {"code": "C-1"}}));
    assert_eq!((foreign.key, foreign.fields.text("code")), (None, Some("C-1")));
    assert!(!foreign.deleted);
    let nameless = mapper().record_in(&json!({"p": {"first": "A"}}));
    assert_eq!(nameless.remote, "");
    assert!(nameless.problem.unwrap().message.contains("no id at `id`"));
    assert_eq!(nameless.fields.text("given_name"), Some("A"));
}

fn operation(action: WriteAction, fields: Vec<(&str, Option<Value>)>, known: Fields) -> Operation {
    Operation {
        id: "op".into(),
        action,
        fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        known,
        version: None,
        key: CustomerKey {
            id: Uuid::from_u128(7),
            kind: Kind::Person,
        },
    }
}

#[track_caller]
fn check_out(operation: &Operation, expected: Json) {
    assert_eq!(mapper().fields_out(operation), Ok(expected));
}

#[test]
fn what_is_written() {
    let update = || WriteAction::Update("1".into());
    let key = "per_00000000000000000000000000000007";
    let taken = || Fields::from([("code", text("C-1"))]);
    check_out(
        &operation(
            update(),
            vec![("given_name", Some(text("Ana"))), ("company", None)],
            taken(),
        ),
        json!({"nested": {"company": ""}, "first": "Ana"}),
    );
    check_out(
        &operation(update(), vec![("phone", None)], Fields::default()),
        json!({"phone": "", "code": key}),
    );
    check_out(
        &operation(update(), vec![("unmapped", Some(text("x")))], Fields::default()),
        json!({}),
    );
    check_out(
        &operation(WriteAction::Create, vec![], Fields::default()),
        json!({"code": key}),
    );
    let seen = || vec![("first_seen", Some(Value::Time(UnixMillis(0))))];
    check_out(&operation(update(), seen(), taken()), json!({}));
    check_out(
        &operation(WriteAction::Create, seen(), taken()),
        json!({"first_seen": "1970-01-01T00:00:00Z"}),
    );
    check_out(
        &operation(update(), vec![("computed", Some(text("new")))], taken()),
        json!({"computed": "NEW"}),
    );
    check_out(
        &operation(update(), vec![("stage", Some(text("customer")))], taken()),
        json!({"stage": 2}),
    );
}

#[test]
fn a_list_keeps_what_stands_beside_our_value() {
    let update = || WriteAction::Update("1".into());
    let mut known = Fields::from([("code", text("C-1"))]);
    known.set(
        "_mails",
        text(r#"[{"value":"x@b.c"},{"value":"y@b.c","primary":true,"label":"w"}]"#),
    );
    known.set("_note", text("call back"));
    check_out(
        &operation(
            update(),
            vec![("second", Some(text("z@b.c"))), ("memo", Some(text("m")))],
            known.clone(),
        ),
        json!({
            "note": "{\"text\":\"call back\",\"memo\":\"m\"}",
            "mails": [{"value": "x@b.c"}, {"value": "z@b.c", "primary": true, "label": "w"}],
        }),
    );
    check_out(
        &operation(update(), vec![("second", None)], known),
        json!({"mails": [{"value": "x@b.c"}]}),
    );
}

fn canonical(field: &'static str) -> BoxedStrategy<Value> {
    let word = "[A-Za-z][A-Za-z0-9 '\\\\\"{}ü-]{0,12}[a-z]";
    let items = proptest::collection::btree_set("[a-z0-9]{1,6}", 1..4);
    match field {
        "email" | "second" => "[a-z0-9.]{1,8}@[a-z]{1,8}\\.(com|de)"
            .prop_map(|it| Value::Text(it.into()))
            .boxed(),
        "phone" => "\\+[1-9][0-9]{7,12}".prop_map(|it| Value::Text(it.into())).boxed(),
        "active" => any::<bool>().prop_map(Value::Bool).boxed(),
        "visits" => any::<i64>().prop_map(Value::Int).boxed(),
        "born" => (-3000_i64..30_000)
            .prop_map(|day| Value::Time(UnixMillis(day * 86_400_000)))
            .boxed(),
        "seen" | "first_seen" => (0_i64..4_102_444_800_000)
            .prop_map(|at| Value::Time(UnixMillis(at)))
            .boxed(),
        "sql_time" => (0_i64..4_102_444_800)
            .prop_map(|at| Value::Time(UnixMillis(at * 1000)))
            .boxed(),
        "tags" | "labels" | "topics" => items
            .prop_map(|set| Value::Set(set.into_iter().map(CompactString::from).collect()))
            .boxed(),
        "stage" => prop_oneof!["lead", "customer", "other"]
            .prop_map(|it| Value::Text(it.into()))
            .boxed(),
        _ => word.prop_map(|it| Value::Text(it.into())).boxed(),
    }
}

const WRITTEN: [&str; 16] = [
    "email",
    "phone",
    "given_name",
    "company",
    "active",
    "visits",
    "born",
    "seen",
    "sql_time",
    "tags",
    "labels",
    "topics",
    "stage",
    "owner",
    "second",
    "memo",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_and_echoed_reads_the_same(
        values in WRITTEN.map(|field| proptest::option::of(canonical(field))),
    ) {
        let mapper = mapper();
        let fields: Vec<_> = WRITTEN.into_iter().zip(values).collect();
        let operation = operation(WriteAction::Create, fields.clone(), Fields::default());
        let remote = mapper.fields_out(&operation).unwrap();
        let echoed = mapper.record_in(&json!({"id": 1, "p": remote}));
        prop_assert_eq!(&echoed.problem, &None);
        for (name, value) in fields {
            // An element that was never there needs no clearing: the tool does not say anything about it.
            let read = echoed.fields.0.get(name).cloned().flatten();
            prop_assert_eq!(&read, &value, "{}", name);
            if let Some(value) = &value {
                prop_assert_eq!(mapper.echo(name, value), Some(value.clone()));
            }
        }
    }

    #[test]
    fn no_object_makes_the_mapping_panic(text in "\\PC{0,40}", number in any::<f64>(), deep in 0_usize..40) {
        let mut value = json!({"text": text, "number": number, "list": [text, null, number]});
        for _ in 0..deep {
            value = json!([value, {"value": value["text"]}]);
        }
        let mapper = mapper();
        let mut object = json!({"id": text, "p": {}});
        for (_, field) in &mapper.fields {
            let top = field.to.names()[1].to_owned();
            object["p"][top] = value.clone();
        }
        let record = mapper.record_in(&object);
        prop_assert!(record.problem.is_some());
        prop_assert_eq!(mapper.record_in(&value).remote, "");
    }
}
