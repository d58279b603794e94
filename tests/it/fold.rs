//! Properties of the page commit: the order and the split of pages do not matter, and folding again changes nothing.
//! On the real ledger, through the real engine, with scripted systems.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use compact_str::CompactString;
use nivel::cache::{self, CacheHealth, Hints, IdentityCache, Learned};
use nivel::connector::{Connection, Connections};
use nivel::error::{Class, Code, Failure, Problem};
use nivel::ledger::{Ask, Ledger, Slot, Sqlite, WriteState};
use nivel::merge::{Create, FieldRule, OnClear, Pick, Role, Rules, StreamRules, Survivorship, SystemRules, survive};
use nivel::model::{
    Cursor, Done, FieldName, FieldSpec, Fields, Incoming, Operation, Outcome, Page, StreamSpec, SystemClock,
    UnixMillis, Value, WriteAction,
};
use nivel::sync::{Engine, Parts, Silent};
use proptest::prelude::*;

pub(crate) const STREAM: &str = "person";

/// A system that plays pages and takes every write.
pub(crate) struct Scripted {
    streams: BTreeMap<CompactString, StreamSpec>,
    pages: Mutex<Vec<Vec<Incoming>>>,
    written: Mutex<Vec<Operation>>,
}

fn spec() -> StreamSpec {
    let field = |name: &str| (FieldName::from(name), FieldSpec::default());
    StreamSpec {
        fields: ["email", "phone", "full_name", "company"].map(field).into(),
        match_by: vec!["email".into()],
        can_create: true,
        can_update: true,
        batch_max: 7,
        ..StreamSpec::default()
    }
}

impl Scripted {
    fn new(pages: Vec<Vec<Incoming>>) -> Self {
        Self {
            streams: [(STREAM.into(), spec())].into(),
            pages: Mutex::new(pages),
            written: Mutex::default(),
        }
    }
}

fn none_such() -> Failure {
    Failure::new(Class::Gone, Problem::new(Code::NotFound, "not played here"))
}

#[async_trait]
impl Connection for Scripted {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.streams
    }

    async fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn pull(&self, _stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let at: usize = cursor.map_or(0, |cursor| cursor.0.parse().unwrap());
        let pages = self.pages.lock().unwrap();
        let next = (at + 1).min(pages.len());
        let records = pages.get(at).cloned().unwrap_or_default();
        Ok(Page {
            // An empty page at the beginning is a tool in which nobody stood when it was read first.
            is_caught_up: at + 1 >= pages.len() || (at == 0 && records.is_empty()),
            records,
            next: Cursor(next.to_string()),
            asked_at: UnixMillis(1_000_000),
            sweep: None,
        })
    }

    async fn get(&self, _stream: &str, _remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        Err(none_such())
    }

    async fn find(&self, _stream: &str, _by: &FieldName, _value: &Value) -> Result<Option<Incoming>, Failure> {
        Err(none_such())
    }

    async fn write(&self, _stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        let mut written = self.written.lock().unwrap();
        let done = |(place, operation): (usize, &Operation)| {
            let remote = match &operation.action {
                WriteAction::Create => format!("made{}", written.len() + place).into(),
                WriteAction::Update(remote) | WriteAction::Delete(remote) => remote.clone(),
            };
            let created = operation.action == WriteAction::Create;
            Ok(Done {
                remote,
                updated_at: None,
                version: None,
                created,
                unkept: BTreeMap::new(),
            })
        };
        let outcomes = operations.iter().enumerate().map(done).collect();
        written.extend_from_slice(operations);
        outcomes
    }
}

/// A cache that knows nothing, ever: what it says must not matter.
struct Forgetful;

#[async_trait]
impl IdentityCache for Forgetful {
    async fn look_up(&self, ask: &cache::Ask) -> Hints {
        Hints {
            identifiers: vec![None; ask.identifiers.len()],
            records: vec![None; ask.records.len()],
        }
    }

    async fn learn(&self, _learned: &Learned) {}

    async fn forget(&self, _forgotten: &Learned) {}

    async fn clear(&self) {}

    fn health(&self) -> CacheHealth {
        CacheHealth {
            kind: "none",
            is_up: true,
            hits: 0,
            misses: 0,
            problem: None,
        }
    }
}

pub(crate) fn rules(pick: Pick) -> Rules {
    let stream = StreamRules {
        spec: spec(),
        create: Create::Always,
        qualified_by: Vec::new(),
        write: true,
        ..StreamRules::default()
    };
    let system = |role| SystemRules {
        role,
        brake: nivel::merge::Brake::default(),
        streams: [(STREAM.into(), stream.clone())].into(),
    };
    Rules {
        systems: [
            ("crm".into(), system(Role::Sales)),
            ("desk".into(), system(Role::Support)),
            ("hub".into(), system(Role::Marketing)),
        ]
        .into(),
        default: Some(FieldRule {
            pick,
            on_clear: OnClear::Ignore,
        }),
        ..Rules::default()
    }
}

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    tools: BTreeMap<CompactString, Arc<Scripted>>,
    dir: tempfile::TempDir,
}

fn bench(pages: BTreeMap<&str, Vec<Vec<Incoming>>>, pick: Pick) -> Bench {
    bench_with(pages, rules(pick))
}

impl Bench {
    /// The same tools and ledger, as after a restart.
    pub(crate) fn restarted(self) -> Self {
        let Self { engine, tools, dir } = self;
        let rules = engine.rules().clone();
        drop(engine);
        on(dir, tools, rules)
    }
}

pub(crate) fn bench_with(pages: BTreeMap<&str, Vec<Vec<Incoming>>>, rules: Rules) -> Bench {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let tools: BTreeMap<CompactString, Arc<Scripted>> = pages
        .into_iter()
        .map(|(name, pages)| (name.into(), Arc::new(Scripted::new(pages))))
        .collect();
    on(dir, tools, rules)
}

fn on(dir: tempfile::TempDir, tools: BTreeMap<CompactString, Arc<Scripted>>, rules: Rules) -> Bench {
    let ledger = Sqlite::open(&dir.path().join("nivel.db"), &SystemClock).unwrap();
    let connections: Connections = tools
        .iter()
        .map(|(name, tool)| (name.clone(), Arc::clone(tool) as Arc<dyn Connection>))
        .collect();
    let parts = Parts {
        ledger: Arc::new(ledger),
        cache: Arc::new(Forgetful),
        connections,
        rules,
        clock: Arc::new(SystemClock),
        progress: Arc::new(Silent),
    };
    Bench {
        engine: Engine::new(parts),
        tools,
        dir,
    }
}

/// Everything the ledger says, with customers named by their smallest record, because keys are random.
#[derive(Debug, PartialEq)]
pub(crate) struct Export {
    pub(crate) customers: BTreeMap<BTreeSet<String>, (Fields, String)>,
    writes: BTreeMap<(String, String), String>,
}

pub(crate) async fn export(ledger: &dyn Ledger) -> Export {
    let mut customers = BTreeMap::new();
    let mut names = BTreeMap::new();
    for customer in ledger.customers(None, 10_000).await.unwrap() {
        let ask = nivel::ledger::Ask {
            customers: [customer.key].into(),
            ..Default::default()
        };
        let view = ledger.view(ask).await.unwrap();
        let records: BTreeSet<String> = view
            .records
            .iter()
            .filter(|(_, (_, home))| *home == customer.key)
            .map(|(id, _)| id.to_string())
            .collect();
        names.insert(customer.key, records.first().cloned().unwrap_or_default());
        customers.insert(records, (customer.golden, format!("{:?}", customer.lineage)));
    }
    let pending = ledger
        .writes(&[WriteState::Due, WriteState::Dead, WriteState::Held], None, 100_000)
        .await
        .unwrap();
    let writes = pending
        .into_iter()
        .map(|write| {
            let slot = match &write.target.slot {
                Slot::New(key) => format!("new for {}", names[key]),
                Slot::Object(remote) => remote.to_string(),
            };
            ((write.target.stream.to_string(), slot), format!("{:?}", write.fields))
        })
        .collect();
    Export { customers, writes }
}

fn person(remote: usize, email: Option<u8>, phone: Option<u8>, name: Option<u8>, at: i64) -> Incoming {
    let text = |value: Option<String>| value.as_deref().and_then(Value::text);
    let names = ["Anna Berg", "Bo Lind", "Carl Dahl Ek"];
    Incoming {
        remote: remote.to_string().into(),
        fields: Fields(
            [
                ("email".into(), text(email.map(|n| format!("p{n}@example.com")))),
                ("phone".into(), text(phone.map(|n| format!("+3584012340{n:02}")))),
                (
                    "full_name".into(),
                    text(name.map(|n| names[usize::from(n) % 3].to_owned())),
                ),
            ]
            .into(),
        ),
        updated_at: Some(UnixMillis(at)),
        version: None,
        deleted: false,
        key: None,
        problem: None,
        joined: None,
    }
}

type Tools = BTreeMap<&'static str, Vec<Incoming>>;

fn people() -> impl Strategy<Value = Tools> {
    let field = |n: u8| prop::option::weighted(0.8, 0..n);
    let one = (field(6), field(4), field(3));
    let tool = prop::collection::vec(one, 0..9);
    (tool.clone(), tool.clone(), tool).prop_map(|(crm, desk, hub)| {
        let mut at = 0;
        let mut fill = |rows: Vec<(Option<u8>, Option<u8>, Option<u8>)>| -> Vec<Incoming> {
            let mut person = |(remote, (email, phone, name)): (usize, _)| {
                at += 1;
                // Times that are no function of the position, so that "newest" is not "last".
                person(remote, email, phone, name, (at * 7919) % 1000)
            };
            rows.into_iter().enumerate().map(&mut person).collect()
        };
        [("crm", fill(crm)), ("desk", fill(desk)), ("hub", fill(hub))].into()
    })
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        Just(Pick::Own(vec!["hub".into(), "crm".into(), "desk".into()])),
        Just(Pick::Newest(Vec::new())),
        Just(Pick::Longest),
    ]
}

fn split(rows: &[Incoming], size: usize) -> Vec<Vec<Incoming>> {
    rows.chunks(size).map(<[Incoming]>::to_vec).collect()
}

pub(crate) fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// When the pages come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reading {
    /// With the first reading of the tools: put aside, and folded customer by customer.
    First,
    /// Afterwards: folded page by page.
    Later,
}

fn pages(rows: &[Incoming], size: usize, reading: Reading) -> Vec<Vec<Incoming>> {
    let mut pages = split(rows, size);
    if reading == Reading::Later {
        pages.insert(0, Vec::new());
    }
    pages
}

async fn pull(bench: &Bench, order: &[&str], reading: Reading) {
    for round in 0..2 {
        for system in order.iter().filter(|_| round == 0 || reading == Reading::Later) {
            bench.engine.pull_system(system).await.unwrap();
        }
    }
}

async fn folded(tools: &Tools, size: usize, order: &[&str], pick: &Pick, reading: Reading) -> Export {
    let pages = tools
        .iter()
        .map(|(name, rows)| (*name, pages(rows, size, reading)))
        .collect();
    let bench = bench(pages, pick.clone());
    pull(&bench, order, reading).await;
    export(bench.engine.ledger().as_ref()).await
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![Just(Reading::First), Just(Reading::Later)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_split_of_pages_do_not_matter(
        tools in people(), pick in pick(), size in 1_usize..6, turn in 0_usize..6, one in reading(), other in reading(),
    ) {
        let mut shuffled = tools.clone();
        for rows in shuffled.values_mut() {
            rows.reverse();
            let by = turn.min(rows.len());
            rows.rotate_left(by);
        }
        let (one, other) = block(async {
            let one = folded(&tools, 100, &["crm", "desk", "hub"], &pick, one).await;
            let other = folded(&shuffled, size, &["hub", "crm", "desk"], &pick, other).await;
            (one, other)
        });
        prop_assert_eq!(one, other);
    }

    #[test]
    fn folding_again_changes_nothing(tools in people(), pick in pick(), size in 1_usize..6, reading in reading()) {
        let pages: BTreeMap<_, _> = tools.iter().map(|(name, rows)| {
            let mut pages = pages(rows, size, reading);
            pages.extend(split(rows, 100));
            (*name, pages)
        }).collect();
        let (once, twice, changes) = block(async {
            let once = folded(&tools, size, &["crm", "desk", "hub"], &pick, reading).await;
            let bench = bench(pages, pick.clone());
            pull(&bench, &["crm", "desk", "hub"], reading).await;
            let ledger = bench.engine.ledger().as_ref();
            let mut said = 0;
            for customer in ledger.customers(None, 1000).await.unwrap() {
                let trail = ledger.changes(&customer.key, 1000).await.unwrap();
                said += trail.iter().filter(|line| line.change.record.is_some()).count();
            }
            (once, export(ledger).await, said)
        });
        prop_assert_eq!(once, twice);
        prop_assert_eq!(changes, tools.values().map(Vec::len).sum::<usize>(), "each record appeared, and that is all");
    }

    #[test]
    fn after_a_push_every_tool_agrees_and_a_second_pass_writes_nothing(tools in people(), pick in pick()) {
        let pages: BTreeMap<_, _> = tools.iter().map(|(name, rows)| (*name, split(rows, 3))).collect();
        block(async {
            let bench = bench(pages, pick.clone());
            let first = bench.engine.sync(Some("test")).await.unwrap();
            assert!(first.is_clean(), "{first:?}");
            let written = bench.tools.values().map(|tool| tool.written.lock().unwrap().len()).sum::<usize>();
            assert_eq!(first.written(), written as u64, "every operation is accounted for");
            let second = bench.engine.sync(Some("test")).await.unwrap();
            assert_eq!(second.written(), 0, "{second:?}");
            let ledger = bench.engine.ledger().as_ref();
            let left = export(ledger).await;
            assert!(left.writes.is_empty(), "{left:?}");
            // A write that arrives leaves the golden record as it is: nothing else may come of reckoning it again.
            for customer in ledger.customers(None, 1000).await.unwrap() {
                let ask = Ask { customers: [customer.key].into(), ..Ask::default() };
                let view = ledger.view(ask).await.unwrap();
                let members: Vec<_> = view.records.values().map(|(record, _)| record).collect();
                let anew = survive(&members, &Survivorship::new(bench.engine.rules()));
                assert_eq!(anew.fields, customer.golden);
            }
        });
    }
}
