//! Databases as systems: read without a gap, written without a lost race, and together with a tool end to end.

mod base;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{Base, Kind, Server, TABLE};
use compact_str::CompactString;
use futures::stream::{self, StreamExt as _};
use nivel::config::Config;
use nivel::connector::Connection;
use nivel::error::{Class, Code};
use nivel::model::{
    Clock, Cursor, CustomerKey, FieldName, Fields, Incoming, Operation, SystemClock, UnixMillis, Value, WriteAction,
};
use nivel::sandbox::checker::Finding;
use uuid::Uuid;

use crate::trial::Trial;

/// The connection to a database, made as the daemon makes it.
fn connect(base: &Base, config: &str) -> Arc<dyn Connection> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nivel.yaml");
    let text = format!(
        "systems:\n  shop:\n    connector: sql\n    role: sales\n    region: FI\n    config:\n      url: {}{config}",
        base.url
    );
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&[file], &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let connections = nivel::daemon::connect(&config, &clock).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Arc::clone(&connections["shop"])
}

/// Reads until everything is read: the records, and the ids of those that the pages of a finished sweep had.
async fn read(
    connection: &Arc<dyn Connection>,
    cursor: &mut Option<Cursor>,
) -> (Vec<Incoming>, Option<BTreeSet<CompactString>>) {
    let mut records = Vec::new();
    let mut swept = BTreeSet::new();
    let mut is_swept = false;
    loop {
        let page = connection.pull("customer", cursor.as_ref()).await.unwrap();
        if let Some(mark) = page.sweep {
            swept.extend(page.records.iter().map(|record| record.remote.clone()));
            is_swept |= mark.is_over;
        }
        *cursor = Some(page.next);
        records.extend(page.records);
        if page.is_caught_up {
            return (records, is_swept.then_some(swept));
        }
    }
}

fn ids(records: &[Incoming]) -> BTreeSet<String> {
    records.iter().map(|record| record.remote.to_string()).collect()
}

fn operation(action: WriteAction, fields: &[(&str, Option<Value>)], known: &Incoming) -> Operation {
    let fields = fields
        .iter()
        .map(|(name, value)| (FieldName::from(*name), value.clone()));
    Operation {
        id: "op".into(),
        action,
        fields: fields.collect(),
        known: known.fields.clone(),
        version: None,
        key: CustomerKey {
            id: Uuid::from_u128(1),
            kind: nivel::model::Kind::Person,
        },
    }
}

fn nobody() -> Incoming {
    Incoming {
        remote: "".into(),
        fields: Fields::default(),
        updated_at: None,
        version: None,
        deleted: false,
        key: None,
        problem: None,
        joined: None,
    }
}

fn text(text: &str) -> Option<Value> {
    Value::text(text)
}

/// Rows of one tick, rows that are committed late, rows that change, are marked as deleted, or vanish.
async fn reads_without_a_gap(base: &Base) {
    base.make_customers().await;
    let row = |number: u32| format!("({number}, 'p{number}@example.com', '2026-01-31 08:00:00.123')");
    let rows: Vec<String> = (1..=40).map(row).collect();
    let insert = format!(
        "INSERT INTO customers (id, mail, updated_at) VALUES {}",
        rows.join(", ")
    );
    base.run(&insert).await;
    let connection = connect(base, TABLE);
    let mut cursor = None;
    let (first, swept) = read(&connection, &mut cursor).await;
    assert_eq!(ids(&first).len(), 40);
    assert_eq!(
        swept.map(|swept| swept.len()),
        Some(40),
        "the first reading is one of everything"
    );

    // Committed late: its time lies before rows that were read, within the overlap.
    base.run("INSERT INTO customers (id, mail, updated_at) VALUES (41, 'late@example.com', '2026-01-31 07:50:00.000')")
        .await;
    base.run("UPDATE customers SET gone = '1' WHERE id = 5").await;
    base.run("DELETE FROM customers WHERE id = 6").await;
    let (second, _) = read(&connection, &mut cursor).await;
    assert!(ids(&second).contains("41"), "{:?}", ids(&second));
    let marked = second.iter().find(|record| record.remote == "5").unwrap();
    assert!(marked.deleted);

    // A row from the future must not hide what comes after it.
    base.run("INSERT INTO customers (id, mail, updated_at) VALUES (42, 'future@example.com', '2087-01-01 00:00:00')")
        .await;
    read(&connection, &mut cursor).await;
    base.run("INSERT INTO customers (id, mail) VALUES (43, 'now@example.com')")
        .await;
    let (third, _) = read(&connection, &mut cursor).await;
    assert!(ids(&third).contains("43"), "{:?}", ids(&third));

    // Without a cursor everything is read each time, and what is not met is absent.
    let whole = connect(base, &TABLE.replace("          cursor: updated_at\n", ""));
    let mut cursor = None;
    read(&whole, &mut cursor).await;
    let (_, swept) = read(&whole, &mut cursor).await;
    assert!(!swept.unwrap().contains("6"));
}

/// What goes in comes out the same, whatever the database makes of it.
async fn writes_what_is_read(base: &Base) {
    base.make_customers().await;
    let connection = connect(base, TABLE);
    let since = Value::Time(UnixMillis::from_rfc3339("2026-01-31T08:00:00.250Z").unwrap());
    let hostile = "Robert'); DROP TABLE customers; -- \"\\";
    let fields = [
        ("email", text("anna@example.com")),
        ("given_name", text(hostile)),
        ("family_name", text("Berg")),
        ("phone", text("+358401234567")),
        (
            "tags",
            Some(Value::Set(["a \"b\"", "c,d", "e\\f"].map(CompactString::from).into())),
        ),
        ("vip", Some(Value::Bool(true))),
        ("tier", text("key")),
        ("since", Some(since)),
    ];
    let create = operation(WriteAction::Create, &fields, &nobody());
    let made = connection
        .write("customer", std::slice::from_ref(&create))
        .await
        .remove(0)
        .unwrap();
    assert!(made.created && made.unkept.is_empty(), "{made:?}");
    let found = connection
        .get("customer", std::slice::from_ref(&made.remote))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(found.fields.0, create.fields);
    assert!(found.updated_at.is_some());

    // Sent again, as after a lost answer: told where it is, and not made twice.
    let again = connection.write("customer", &[create]).await.remove(0).unwrap_err();
    assert_eq!((again.class, again.remote), (Class::Exists, Some(made.remote.clone())));
    assert_eq!(base.one("SELECT count(*) FROM customers").await.unwrap(), "1");

    // Found whatever the capitals; a column that must not be NULL is emptied; what is unchanged stays.
    base.run("UPDATE customers SET mail = 'Anna@Example.com'").await;
    let found = connection
        .find("customer", &"email".into(), &text("anna@example.com").unwrap())
        .await
        .unwrap()
        .unwrap();
    let clear = operation(
        WriteAction::Update(made.remote.clone()),
        &[("family_name", None), ("tier", text("gold"))],
        &found,
    );
    let done = connection.write("customer", &[clear]).await.remove(0).unwrap();
    assert!(done.unkept.is_empty(), "{done:?}");
    assert_eq!(base.one("SELECT last_name FROM customers").await.unwrap(), "");
    assert_eq!(base.one("SELECT class FROM customers").await.unwrap(), "1");
    assert_eq!(
        base.one(&format!("SELECT {} FROM customers", base.first_name()))
            .await
            .unwrap(),
        hostile
    );
}

/// Somebody changes the row after it was last seen: it is left alone, exactly.
async fn loses_no_race(base: &Base) {
    base.make_customers().await;
    base.run("INSERT INTO customers (id, mail, last_name) VALUES (1, 'anna@example.com', 'Berg'), (2, 'bo@example.com', 'Dahl')").await;
    let connection = connect(base, TABLE);
    let seen = connection.get("customer", &["1".into()]).await.unwrap().remove(0);
    base.run("UPDATE customers SET phone = '0401111111' WHERE id = 1").await;
    let update = |field, value| operation(WriteAction::Update("1".into()), &[(field, value)], &seen);
    let raced = connection
        .write("customer", &[update("phone", text("+358402222222"))])
        .await
        .remove(0)
        .unwrap_err();
    assert_eq!(raced.class, Class::Conflict);
    assert_eq!(
        base.one("SELECT phone FROM customers WHERE id = 1").await.unwrap(),
        "0401111111"
    );
    // Beside it is no race; a removal of what somebody works on is one.
    connection
        .write("customer", &[update("family_name", text("Bergström"))])
        .await
        .remove(0)
        .unwrap();
    let delete = operation(WriteAction::Delete("1".into()), &[], &seen);
    assert_eq!(
        connection
            .write("customer", &[delete])
            .await
            .remove(0)
            .unwrap_err()
            .class,
        Class::Conflict
    );
    // What the database refuses is told of that row alone, without a value in the words.
    let seen = connection.get("customer", &["2".into()]).await.unwrap().remove(0);
    let taken = operation(
        WriteAction::Update("2".into()),
        &[("email", text("anna@example.com"))],
        &seen,
    );
    let good = operation(
        WriteAction::Update("2".into()),
        &[("vip", Some(Value::Bool(true)))],
        &seen,
    );
    let both = connection.write("customer", &[taken, good]).await;
    let refused = both[0].as_ref().unwrap_err();
    assert!(!refused.problem.to_string().contains("anna"), "{refused}");
    assert!(both[1].is_ok(), "{both:?}");
    let gone = operation(
        WriteAction::Update("77".into()),
        &[("email", text("x@example.com"))],
        &nobody(),
    );
    assert_eq!(
        connection.write("customer", &[gone]).await.remove(0).unwrap_err().class,
        Class::Gone
    );
    let delete = operation(
        WriteAction::Delete("2".into()),
        &[],
        &connection.get("customer", &["2".into()]).await.unwrap()[0],
    );
    connection.write("customer", &[delete]).await.remove(0).unwrap();
    assert_eq!(base.one("SELECT count(*) FROM customers").await.unwrap(), "1");
}

/// A wrong name is told where it is written, with the right one beside it.
async fn names_what_is_missing(base: &Base) {
    base.make_customers().await;
    for (right, wrong, line, hint) in [
        (
            "table: customers",
            "table: custmers",
            ":11:18",
            "did you mean `customers`?",
        ),
        (
            "family_name: last_name",
            "family_name: lastname",
            ":20:26",
            "did you mean `last_name`?",
        ),
    ] {
        let connection = connect(base, &TABLE.replace(right, wrong));
        let problem = connection.check().await.unwrap_err().problem;
        assert_eq!((problem.code, problem.hint.as_str()), (Code::SqlNoSuchName, hint));
        assert!(problem.subject.ends_with(line), "{problem}");
    }
    let query = TABLE.replace(
        "table: customers",
        "query: SELECT * FROM customers WHERE mail IS NOT NULL",
    );
    let connection = connect(base, &query);
    connection.check().await.unwrap();
    assert!(!connection.streams()["customer"].can_update);
    let described = connection.describe("customer").await.unwrap().unwrap();
    assert!(
        described
            .fields
            .iter()
            .any(|field| field.name == "mail" && field.mapped_to == Some("email".into()))
    );
    // The same key twice must not be taken for a change.
    base.run("INSERT INTO customers (id, mail) VALUES (1, 'a@example.com'), (2, 'b@example.com')")
        .await;
    let twice = TABLE
        .replace("table: customers", "query: SELECT c.* FROM customers c, customers d")
        .replace("page: 7", "page: 1");
    let failure = connect(base, &twice).pull("customer", None).await.unwrap_err();
    assert_eq!(failure.problem.code, Code::SqlKey);
}

/// Three sandbox tools and a database, in both directions.
async fn trial(base: &Base, people: usize) -> Trial {
    let trial = Trial::new(11, people).await;
    let shop = format!(
        "  shop:\n    connector: sql\n    role: partner\n    create: always\n    config:\n      url: {}{TABLE}fields:\n",
        base.url
    );
    trial.reconfigure(|text| text.replace("fields:\n", shop.trim_start_matches('\n')));
    trial
}

/// Every address once, and everybody whom the tools know by an address of her own.
async fn is_whole(base: &Base, trial: &Trial, after: &str) {
    let last = trial.sync().await;
    assert_eq!(last["written"], 0, "{after}: {last}");
    // Whoever came from the database is a stranger to the judge, who knows the three tools' people only.
    let mut findings = trial.findings(1);
    findings.retain(|finding| !matches!(finding, Finding::Stranger { .. }));
    assert!(findings.is_empty(), "{after}: {findings:#?}");
    let twice = base
        .run("SELECT mail FROM customers WHERE mail IS NOT NULL GROUP BY mail HAVING count(*) > 1")
        .await;
    assert!(twice.is_empty(), "{after}: {twice:?}");
    let there: BTreeSet<String> = base
        .run("SELECT mail FROM customers WHERE mail IS NOT NULL")
        .await
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert!(!there.is_empty(), "{after}: {there:?}");
}

async fn goes_both_ways(base: &Base) {
    base.make_customers().await;
    base.run(
        "INSERT INTO customers (mail, last_name, phone) VALUES ('kaisa@shop.example.com', 'Virtanen', '0405550001')",
    )
    .await;
    let trial = trial(base, 6).await;
    trial.sync().await;
    is_whole(base, &trial, "the first sync").await;
    let kaisa = |trial: &Trial| {
        let people = trial.sandbox.hubspot.people();
        people
            .into_iter()
            .find(|person| person.email.as_deref() == Some("kaisa@shop.example.com"))
            .unwrap()
    };
    let hers = kaisa(&trial);
    assert_eq!(hers.phone.as_deref(), Some("+358405550001"));
    trial
        .sandbox
        .hubspot
        .edit(&hers.id, &serde_json::json!({"phone": "+358405550002"}))
        .unwrap();
    trial.sync().await;
    let phone = "SELECT phone FROM customers WHERE mail = 'kaisa@shop.example.com'";
    assert_eq!(base.one(phone).await.unwrap(), "+358405550002");
    base.run("UPDATE customers SET phone = '040 555 0003' WHERE mail = 'kaisa@shop.example.com'")
        .await;
    trial.sync().await;
    assert_eq!(kaisa(&trial).phone.as_deref(), Some("+358405550003"));
    // The judge knows nothing of what was entered in the database after it.
    assert_eq!(trial.sync().await["written"], 0);
}

/// Killed before or after an effect of a first sync; then two whole ones. True when there was such an effect.
async fn interrupted(base: &Base, mode: &str, number: u64) -> bool {
    base.make_customers().await;
    let trial = trial(base, 2).await;
    let fault = format!("{mode}:{number}");
    let was_there = !trial.nivel(&["sync", "--approve"], Some(&fault)).await.status.success();
    trial.sync().await;
    is_whole(base, &trial, &fault).await;
    was_there
}

async fn on(kind: Kind) {
    let Some(server) = Server::start(kind).await else {
        return;
    };
    reads_without_a_gap(&server.base("shop_reads").await).await;
    writes_what_is_read(&server.base("shop_writes").await).await;
    loses_no_race(&server.base("shop_races").await).await;
    names_what_is_missing(&server.base("shop_names").await).await;
    goes_both_ways(&server.base("shop_both").await).await;
    // Every fifth effect: the file is swept more closely.
    let server = &server;
    let sweep = stream::iter((1..).step_by(5)).map(|number| async move {
        let base = server.base(&format!("killed{number}")).await;
        let mode = if number % 2 == 1 { "kill-after" } else { "kill-before" };
        (number, interrupted(&base, mode, number).await)
    });
    let mut sweep = std::pin::pin!(sweep.buffered(2));
    while let Some((number, was_there)) = sweep.next().await {
        if !was_there {
            assert!(number > 20, "only {number} effects");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file() {
    reads_without_a_gap(&Base::file()).await;
    writes_what_is_read(&Base::file()).await;
    loses_no_race(&Base::file()).await;
    names_what_is_missing(&Base::file()).await;
    goes_both_ways(&Base::file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_a_kill_at_every_third_effect() {
    for mode in ["kill-before", "kill-after"] {
        let numbers = (1..400).step_by(3);
        let sweep =
            stream::iter(numbers).map(|number| async move { (number, interrupted(&Base::file(), mode, number).await) });
        let mut sweep = std::pin::pin!(sweep.buffered(2));
        while let Some((number, was_there)) = sweep.next().await {
            if !was_there {
                assert!(
                    number > 20,
                    "only {number} effects: does everything go through the door?"
                );
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    on(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    on(Kind::MariaDb).await;
}
