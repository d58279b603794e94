//! Three tools in memory, and an engine that reads them into a ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use async_trait::async_trait;
use compact_str::CompactString;
use nivel::cache::Memory;
use nivel::connector::{Connection, Connections};
use nivel::error::{Class, Code, Failure, Problem};
use nivel::identity::matcher::generate::Made;
use nivel::ledger::Sqlite;
use nivel::merge::{Brake, MatchRules, Role, Rules, StreamRules, SystemRules};
use nivel::model::{Cursor, FieldName, Incoming, Operation, Outcome, Page, StreamSpec, SystemClock, UnixMillis, Value};
use nivel::sync::{Engine, Parts, Silent};

use crate::cpu;

/// Records on a page.
pub(crate) const PAGE: usize = 50;
/// Pages that come after the first reading.
const AFTERWARDS: usize = 100;
const TOOLS: [&str; 3] = ["crm", "desk", "shop"];

/// What a first reading came to.
pub(crate) struct Reading {
    pub(crate) cpu: f64,
    pub(crate) customers: u64,
    pub(crate) questions: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

struct Tool {
    streams: BTreeMap<CompactString, StreamSpec>,
    pages: Mutex<Vec<Vec<Incoming>>>,
}

#[async_trait]
impl Connection for Tool {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.streams
    }

    async fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn pull(&self, _stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let at: usize = cursor.and_then(|cursor| cursor.0.parse().ok()).unwrap_or_default();
        let pages = self.pages.lock().map_err(|_poisoned| nothing())?;
        let records = pages.get(at).cloned().unwrap_or_default();
        let next = (at + 1).min(pages.len());
        Ok(Page {
            records,
            is_caught_up: next >= pages.len(),
            next: Cursor(next.to_string()),
            asked_at: UnixMillis(1),
            sweep: None,
        })
    }

    async fn get(&self, _stream: &str, _remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        Err(nothing())
    }

    async fn find(&self, _stream: &str, _by: &FieldName, _value: &Value) -> Result<Option<Incoming>, Failure> {
        Err(nothing())
    }

    async fn write(&self, _stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        operations.iter().map(|_| Err(nothing())).collect()
    }
}

fn nothing() -> Failure {
    Failure::new(Class::Gone, Problem::new(Code::NotFound, "not played here"))
}

fn rules(matching: Option<MatchRules>) -> Rules {
    let stream = StreamRules::default();
    let system = |name: &str| {
        let rules = SystemRules {
            role: Role::Sales,
            brake: Brake::default(),
            streams: [("person".into(), stream.clone())].into(),
        };
        (name.into(), rules)
    };
    Rules {
        systems: TOOLS.map(system).into(),
        matching,
        ..Rules::default()
    }
}

/// Reads all records into a new ledger, and some more page by page.
pub(crate) async fn first_reading(made: &[Made], matching: Option<MatchRules>) -> Result<Reading> {
    let first = made.len().saturating_sub(AFTERWARDS * PAGE).max(made.len() / 2);
    let (early, late) = made.split_at(first);
    let mut pages = TOOLS.map(|_| Vec::new());
    for (number, record) in early.iter().enumerate() {
        pages[number % 3].push(record.incoming());
    }
    let mut tools = BTreeMap::new();
    for (name, records) in TOOLS.into_iter().zip(pages) {
        let tool = Tool {
            streams: [("person".into(), StreamSpec::default())].into(),
            pages: Mutex::new(records.chunks(500).map(<[Incoming]>::to_vec).collect()),
        };
        tools.insert(CompactString::from(name), Arc::new(tool));
    }
    let dir = tempfile::tempdir()?;
    let connections: Connections = tools
        .iter()
        .map(|(name, tool)| (name.clone(), Arc::clone(tool) as Arc<dyn Connection>))
        .collect();
    let engine = Engine::new(Parts {
        ledger: Arc::new(Sqlite::open(&dir.path().join("nivel.db"), &SystemClock)?),
        cache: Arc::new(Memory::default()),
        connections,
        rules: rules(matching),
        clock: Arc::new(SystemClock),
        progress: Arc::new(Silent),
    });
    let begin = cpu();
    engine.pull_all().await?;
    engine.match_records().await?;
    let spent = cpu() - begin;
    let mut times = Vec::new();
    for (number, page) in late.chunks(PAGE).enumerate() {
        let name = TOOLS[number % 3];
        if let Some(mut pages) = tools.get(name).and_then(|tool| tool.pages.lock().ok()) {
            pages.push(page.iter().map(Made::incoming).collect());
        }
        let start = Instant::now();
        engine.pull_system(name).await?;
        engine.match_records().await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    let totals = engine.ledger().totals().await?;
    Ok(Reading {
        cpu: spent,
        customers: totals.customers,
        questions: totals.reviews,
        p50_ms: at(50),
        p99_ms: at(99),
    })
}
