//! What is special to the embedded ledger: its file, its lock, its disk. What all ledgers promise is in `tests/it/ledger.rs`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::ledger::{Cause, Change, What};
use crate::model::{Fields, Identifier, IdentifierKind, Kind, Lineage, Origin, TestClock, Value};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("nivel.db")
}

fn open(folder: &TempDir) -> Result<Sqlite, Error> {
    Sqlite::open(&file(folder), &TestClock::at(NOW))
}

#[track_caller]
fn refused(folder: &TempDir, code: Code, words: &str) {
    match open(folder).map(|_| ()) {
        Err(Error::Broken(problem)) => {
            assert_eq!(problem.code, code, "{problem}");
            let text = problem.to_string();
            assert!(text.contains(words) && text.contains("nivel.db"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

fn key(number: u128) -> CustomerKey {
    CustomerKey {
        id: Uuid::from_u128(number),
        kind: Kind::Person,
    }
}

/// A new customer with one record and two identifiers: what a first page is made of.
fn first_seen(commit: &mut Commit, stream: &StreamId, number: u128) {
    let id = stream.record(number.to_string());
    let mail = format!("person.{number}@example.com");
    let mut record = Record::new(id.clone(), NOW);
    record.fields = Fields::from([
        ("company", Value::Text("Example & Sons".into())),
        ("email", Value::Text(mail.as_str().into())),
        ("family_name", Value::Text(format!("Familyname{number}").into())),
        ("given_name", Value::Text("Ana Maria".into())),
        ("phone", Value::Text(format!("+49301{number:07}").into())),
        ("title", Value::Text("Head of Something".into())),
    ]);
    record.updated_at = Some(NOW);
    let origin = Origin {
        record: id.clone(),
        at: NOW,
        rule: "own".into(),
    };
    let lineage: Lineage = record
        .fields
        .0
        .keys()
        .map(|field| (field.clone(), origin.clone()))
        .collect();
    let identifiers = [
        Identifier::new(IdentifierKind::Email, mail),
        Identifier::new(
            IdentifierKind::PhoneName,
            format!("+49301{number:07} familyname{number}"),
        ),
    ];
    commit.identifiers.push((id.clone(), BTreeSet::from(identifiers)));
    commit.customers.push(Customer {
        key: key(number),
        golden: record.fields.clone(),
        lineage,
        version: 0,
        merged_into: None,
    });
    commit.changes.push(Change {
        customer: key(number),
        record: Some(id),
        what: What::Appeared,
    });
    commit.records.push((record, key(number)));
}

fn one(number: u128) -> Commit {
    let mut commit = Commit::new(Cause::Run(1), NOW);
    first_seen(&mut commit, &StreamId::new("crm", "contact"), number);
    commit
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder).unwrap();
    refused(&folder, Code::LedgerLocked, "another process");
    drop(first);
    assert!(open(&folder).is_ok());
    // A process that is just being started holds copies of all files.
    let first = open(&folder).unwrap();
    let copy = first._lock.as_ref().unwrap().0.try_clone().unwrap();
    drop(first);
    assert!(open(&folder).is_ok());
    drop(copy);
    // What a killed process leaves behind: the lock file, without a lock.
    assert!(with_suffix(&file(&folder), ".lock").exists());
}

#[test]
fn files_that_are_no_ledger_are_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let text = "name;mail\n".repeat(1000);
    std::fs::write(file(&folder), &text).unwrap();
    refused(&folder, Code::LedgerUnknown, "not a database");
    assert_eq!(std::fs::read_to_string(file(&folder)).unwrap(), text);

    std::fs::remove_file(file(&folder)).unwrap();
    let other = Connection::open(file(&folder)).unwrap();
    other.execute_batch("CREATE TABLE song (name TEXT)").unwrap();
    drop(other);
    refused(&folder, Code::LedgerUnknown, "another program");
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder).unwrap());
    let conn = Connection::open(file(&folder)).unwrap();
    let newer = "INSERT INTO migration (name, checksum, applied_at) VALUES ('0099_later', 'x', 1)";
    conn.execute_batch(newer).unwrap();
    drop(conn);
    refused(&folder, Code::LedgerUnknown, "newer Nivel");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("missing").join("nivel.db");
    match Sqlite::open(&path, &TestClock::at(NOW)).map(|_| ()) {
        Err(Error::Broken(problem)) => assert!(problem.to_string().contains("missing"), "{problem}"),
        other => panic!("{other:?}"),
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    std::fs::write(file(&folder), "").unwrap();
    std::fs::set_permissions(file(&folder), std::fs::Permissions::from_mode(0o644)).unwrap();
    let ledger = open(&folder).unwrap();
    ledger.apply(one(1)).await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        files += 1;
    }
    assert_eq!(files, 4, "the file, its log, the log's index, the lock");
}

#[tokio::test]
async fn the_disk_is_asked_for_every_commit() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder).unwrap();
    let setting = |name: &'static str| {
        let read = move |desk: &mut Desk| Ok(desk.conn.query_row(name, [], |row| row.get::<_, i64>(0))?);
        ledger.writer.run(read)
    };
    assert_eq!(setting("PRAGMA synchronous").await, Ok(2), "FULL");
    assert_eq!(setting("PRAGMA foreign_keys").await, Ok(1));
    let mode = |desk: &mut Desk| {
        Ok(desk
            .conn
            .query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?)
    };
    assert_eq!(ledger.writer.run(mode).await.as_deref(), Ok("wal"));
}

/// Lets the file grow by so many pages and no more, as a disk does that is nearly full.
async fn room(ledger: &Sqlite, pages: i64) {
    let set = move |desk: &mut Desk| {
        let now: i64 = desk.conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        desk.conn.pragma_update(None, "max_page_count", now + pages)?;
        Ok(())
    };
    ledger.writer.run(set).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_commits_and_loses_none() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder).unwrap();
    ledger.apply(one(1)).await.unwrap();
    room(&ledger, 3).await;
    let mut page = Commit::new(Cause::Run(1), NOW);
    for number in 2..500 {
        first_seen(&mut page, &StreamId::new("crm", "contact"), number);
    }
    // Small ones beside the large one: they may share its transaction, and are told the truth each.
    let (large, small) = futures::join!(ledger.apply(page.clone()), ledger.apply(one(1000)));
    match large {
        Err(Error::Broken(problem)) => assert_eq!(problem.code, Code::LedgerFull),
        other => panic!("{other:?}"),
    }
    let totals = ledger.totals().await.unwrap();
    assert_eq!(totals.records, 1 + u64::from(small.is_ok()), "nothing half applied");
    room(&ledger, 100_000).await;
    ledger.probe().await.unwrap();
    ledger.apply(page).await.unwrap();
    assert_eq!(ledger.totals().await.unwrap().records, totals.records + 498);
}

#[tokio::test]
async fn commits_of_one_group_stand_alone() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder).unwrap();
    let clash = || {
        let mut clash = one(7);
        first_seen(&mut clash, &StreamId::new("desk", "user"), 8);
        clash.records.rotate_left(1);
        clash
    };
    // Every second one fails for a reason that only shows after something was written.
    let commits = (100..164_u128).map(|number| {
        let commit = if number % 2 == 0 {
            one(number)
        } else {
            let mut bad = clash();
            bad.changes[0].customer = key(99_999);
            bad
        };
        ledger.apply(commit)
    });
    let results = futures::future::join_all(commits).await;
    for (number, result) in results.into_iter().enumerate() {
        assert_eq!(result.is_ok(), number % 2 == 0, "{result:?}");
    }
    let totals = ledger.totals().await.unwrap();
    assert_eq!((totals.records, totals.customers), (32, 32));
}

#[tokio::test]
async fn what_was_acknowledged_is_read_at_once() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder).unwrap();
    for number in 0..50 {
        ledger.apply(one(number)).await.unwrap();
        let id = StreamId::new("crm", "contact").record(number.to_string());
        assert!(ledger.heads(&[id]).await.unwrap()[0].is_some());
    }
}

#[tokio::test]
async fn an_answer_nobody_waits_for_is_still_given_its_work() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder).unwrap();
    let mut applying = Box::pin(ledger.apply(one(1)));
    assert!(futures::poll!(applying.as_mut()).is_pending());
    drop(applying);
    drop(ledger);
    assert_eq!(open(&folder).unwrap().totals().await.unwrap().records, 1);
}

#[tokio::test]
async fn identifiers_keep_their_first_time_and_say_whether_they_are_current() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder).unwrap();
    ledger.apply(one(1)).await.unwrap();
    let id = StreamId::new("crm", "contact").record("1");
    let email = |text: &str| Identifier::new(IdentifierKind::Email, text);
    let (old, new) = (email("person.1@example.com"), email("new@example.com"));
    let later = NOW.plus(Duration::from_secs(1));
    let steps = [
        (vec![&old, &new], vec![(&new, later, true), (&old, NOW, true)]),
        (vec![&new], vec![(&new, later, true), (&old, NOW, false)]),
        (vec![&old], vec![(&new, later, false), (&old, NOW, true)]),
        (vec![&old], vec![(&new, later, false), (&old, NOW, true)]),
    ];
    for (asserted, expected) in steps {
        let mut commit = Commit::new(Cause::Run(1), later);
        let asserted = asserted.into_iter().cloned().collect();
        commit.identifiers.push((id.clone(), asserted));
        ledger.apply(commit).await.unwrap();
        let read = |desk: &mut Desk| {
            let mut statement = desk
                .conn
                .prepare("SELECT value, since, is_current FROM identifier WHERE kind = 4 ORDER BY value")?;
            let rows = statement.query_map([], |row| {
                let email = Identifier::new(IdentifierKind::Email, row.get::<_, String>(0)?);
                Ok((email, UnixMillis(row.get(1)?), row.get::<_, bool>(2)?))
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        };
        let found = ledger.readers.look(read).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(email, since, current)| (email, *since, *current))
            .collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn history_is_trimmed_to_what_must_be_kept() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder).unwrap();
    let stream = StreamId::new("crm", "contact");
    let later = NOW.plus(Keep::default().runs).plus(Duration::from_millis(1));
    ledger.open_run(&stream, NOW).await.unwrap();
    let kept = ledger.open_run(&stream, later).await.unwrap();
    ledger.apply(one(1)).await.unwrap();
    let mut new = one(2);
    new.at = later;
    ledger.apply(new).await.unwrap();
    assert_eq!(ledger.trim(later, Keep::default()).await, Ok(1));
    assert_eq!(
        ledger
            .runs(9)
            .await
            .unwrap()
            .iter()
            .map(|run| run.id)
            .collect::<Vec<_>>(),
        [kept]
    );
    let much_later = NOW.plus(Keep::default().changes).plus(Duration::from_millis(1));
    assert_eq!(ledger.trim(much_later, Keep::default()).await, Ok(2));
    assert!(ledger.changes(&key(1), 9).await.unwrap().is_empty());
    assert_eq!(ledger.changes(&key(2), 9).await.unwrap().len(), 1);
}

#[test]
#[ignore = "slow: three systems of 100,000 records; run in release with --ignored"]
fn ledger_speed() {
    speed::run(100_000, 500);
}

#[test]
fn ledger_speed_takes_the_whole_way() {
    speed::run(200, 60);
}

mod speed;
mod turns;

#[tokio::test]
async fn somebody_may_look_while_another_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nivel.db");
    let clock = crate::model::TestClock::at(UnixMillis(1));
    let ledger = Sqlite::open(&path, &clock).unwrap();
    ledger.set_setting("name", "value").await.unwrap();
    let looking = Sqlite::open_to_read(&path).unwrap();
    assert_eq!(looking.setting("name").await.unwrap().as_deref(), Some("value"));
    ledger.set_setting("name", "newer").await.unwrap();
    assert_eq!(looking.setting("name").await.unwrap().as_deref(), Some("newer"));
    assert!(looking.set_setting("name", "mine").await.is_err(), "only looking");
    drop((ledger, looking));
    let alone = Sqlite::open_to_read(&path).unwrap();
    assert_eq!(alone.setting("name").await.unwrap().as_deref(), Some("newer"));
    assert!(Sqlite::open_to_read(&folder.path().join("none.db")).is_err());
}

/// What is asked before every batch or read page by page must not walk through a whole table each time, as SQLite would
/// by itself.
#[test]
fn what_is_asked_often_finds_its_rows() {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::migrate(&mut conn, NOW).unwrap();
    let by_number = "USING INTEGER PRIMARY KEY (rowid=?)";
    let table = [
        (
            brake::DUE,
            vec!["SEARCH write USING INDEX write_state (state=? AND stream=? AND due_at>?)".to_owned()],
        ),
        (
            outbox::LIST,
            vec![
                "SEARCH w USING PRIMARY KEY ((stream,slot)>(?,?))".to_owned(),
                format!("SEARCH c {by_number}"),
            ],
        ),
        (
            matching::PARTED,
            vec!["SCAN p".to_owned(), format!("SEARCH r {by_number}")],
        ),
    ];
    for (query, wanted) in table {
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let mut rows = plan.raw_query();
        let mut steps: Vec<String> = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get(3).unwrap());
        }
        steps.truncate(wanted.len());
        assert_eq!(steps, wanted, "{query}");
    }
}
