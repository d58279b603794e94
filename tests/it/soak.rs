//! Random kills with every fault at once, for as long as `SOAK_MINUTES` says (`make soak`); without it, not at all. The seed is
//! printed, and `SEED` plays it again. At the end the judge who reads only the tools must be content, and a process that
//! went through all of it must not have grown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nivel::model::{Clock, SystemClock, UnixMillis};
use nivel::sandbox::faults::{Kind, Retry};
use nivel::sandbox::{Fault, Person, Tool, ToolName};
use nivel::sync::Silent;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::trial::Trial;

const PEOPLE: usize = 40;

/// Everything must be settled after so many hours and syncs.
const HOURS_MAX: u64 = 24;

/// Every kind of fault.
pub(crate) const KINDS: [Kind; 23] = [
    Kind::Throttle(Retry::Seconds(1)),
    Kind::Throttle(Retry::Absent),
    Kind::ServerError,
    Kind::BadGatewayAfter,
    Kind::ResetBefore,
    Kind::ResetAfter,
    Kind::CutJson,
    Kind::ResetMidBody,
    Kind::ErrorIn200,
    Kind::LoginPage,
    Kind::Unauthorized,
    Kind::DuplicatePage,
    Kind::EmptyPage,
    Kind::EqualEdge,
    Kind::ClockSkew { ms: -90_000 },
    Kind::Redirect,
    Kind::BlockPage,
    Kind::TooManyJobs,
    Kind::StuckJob,
    Kind::RepeatedCursor,
    Kind::IndexLag { ms: 30_000 },
    Kind::SlowDrip {
        bytes: 700,
        pause_ms: 1,
    },
    Kind::HugeBody { bytes: 1 << 20 },
];

fn setting(name: &str) -> Option<u64> {
    std::env::vars()
        .find(|(key, _)| key == name)
        .and_then(|(_, value)| value.parse().ok())
}

/// Resident memory in KiB and open file handles of this process; nothing where the system does not tell.
fn size() -> Option<(u64, usize)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let memory = line.split_whitespace().next()?.parse().ok()?;
    Some((memory, std::fs::read_dir("/proc/self/fd").ok()?.count()))
}

/// A few faults of any kind.
pub(crate) fn faults(rng: &mut ChaCha8Rng) -> Vec<Fault> {
    let number = rng.random_range(1..6);
    let fault = |_| {
        let kind = *KINDS.choose(rng).unwrap_or(&Kind::ServerError);
        Fault::once(kind)
            .chance(0.05, rng.random())
            .times(rng.random_range(1..4))
    };
    (0..number).map(fault).collect()
}

/// The people who are worked on in a tool. Each person is in one tool only: of two edits within the second that a tool
/// counts in, nobody can say which one is the newer. Told by the address, without the spaces that some tools keep around it.
fn worked_on(tool: &Tool) -> Vec<Person> {
    let place = ToolName::ALL.iter().position(|name| *name == tool.name);
    let is_here = |email: &String| Some(email.trim().len() % ToolName::ALL.len()) == place;
    let people = tool.people().into_iter();
    people
        .filter(|person| person.email.as_ref().is_some_and(is_here))
        .collect()
}

/// The seed that found it: a person with a space before her address was worked on in two tools within one second.
#[tokio::test]
async fn nobody_is_worked_on_in_two_tools() {
    let trial = Trial::new(1_795_330_053_855, PEOPLE).await;
    let mut places: BTreeMap<String, BTreeSet<ToolName>> = BTreeMap::new();
    for name in ToolName::ALL {
        for email in worked_on(trial.sandbox.tool(name))
            .into_iter()
            .filter_map(|person| person.email)
        {
            places.entry(email.trim().to_lowercase()).or_default().insert(name);
        }
    }
    places.retain(|_, tools| tools.len() > 1);
    assert!(places.is_empty(), "{places:?}");
}

/// Somebody works in one of the tools.
fn edit(trial: &Trial, rng: &mut ChaCha8Rng) {
    let phone = format!("+35840{:07}", rng.random_range(0..10_000_000));
    let name = *ToolName::ALL.choose(rng).unwrap_or(&ToolName::Hubspot);
    let tool = trial.sandbox.tool(name);
    let people = worked_on(tool);
    let Some(person) = people.choose(rng) else { return };
    let patch = match name {
        ToolName::Pipedrive => json!({"phones": [{"value": phone, "primary": true}]}),
        _ => json!({"phone": phone}),
    };
    drop(tool.edit(&person.id, &patch));
}

/// The present, some hours later.
#[derive(Debug)]
pub(crate) struct Later(pub(crate) Duration);

impl Clock for Later {
    fn now(&self) -> UnixMillis {
        SystemClock.now().plus(self.0)
    }
}

/// Syncs until nothing waits any more, with hours in between: a write that failed often waits that long. At last a sync
/// writes nothing.
async fn settle(trial: &Trial, seed: u64) {
    let mut summaries = Vec::new();
    for hour in 0..HOURS_MAX {
        trial.nivel(&["dead", "retry", "--all"], None).await;
        let clock = Arc::new(Later(Duration::from_hours(hour)));
        let engine = trial.engine(clock, Arc::new(Silent)).await;
        let summary = engine.sync(Some("soak")).await.unwrap();
        if summary.is_clean() && summary.written() == 0 {
            return;
        }
        summaries.push(summary);
    }
    panic!("SEED={seed}: it still writes: {summaries:#?}");
}

/// Leaves what happened for a person to look at; where.
fn keep(trial: Trial, seed: u64) -> String {
    let folder = trial.dir.keep();
    for name in ToolName::ALL {
        let history: Vec<String> = trial
            .sandbox
            .tool(name)
            .history()
            .iter()
            .filter_map(|event| serde_json::to_string(event).ok())
            .collect();
        drop(std::fs::write(
            folder.join(format!("{name}-{seed}.jsonl")),
            history.join("\n"),
        ));
    }
    folder.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_with_every_fault_at_once() {
    let Some(minutes) = setting("SOAK_MINUTES") else { return };
    let seed = setting("SEED").unwrap_or_else(|| SystemClock.now().0.unsigned_abs());
    println!("SOAK_MINUTES={minutes} SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let trial = Trial::new(seed, PEOPLE).await;
    let end = SystemClock.now().plus(Duration::from_secs(minutes * 60));
    let (mut rounds, mut kills) = (0_u64, 0_usize);
    let mut sizes = Vec::new();
    while SystemClock.now() < end {
        rounds += 1;
        for name in ToolName::ALL {
            trial.sandbox.tool(name).set_faults(faults(&mut rng));
        }
        (0..rng.random_range(0..3)).for_each(|_| edit(&trial, &mut rng));
        if rng.random_bool(0.5) {
            let mode = if rng.random_bool(0.5) {
                "kill-before"
            } else {
                "kill-after"
            };
            let fault = format!("{mode}:{}", rng.random_range(1..60));
            let output = trial.nivel(&["sync", "--approve"], Some(&fault)).await;
            kills += usize::from(!output.status.success());
        } else {
            let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
            drop(engine.sync(Some("soak")).await.unwrap());
            drop(engine);
            sizes.extend(size());
        }
    }
    for name in ToolName::ALL {
        trial.sandbox.tool(name).set_faults(Vec::new());
    }
    settle(&trial, seed).await;
    let findings = trial.findings(kills + usize::try_from(rounds).unwrap_or(usize::MAX));
    if !findings.is_empty() {
        let place = keep(trial, seed);
        panic!("SEED={seed}: {findings:#?}\nthe histories and the ledger are in {place}");
    }
    if let [first, .., (memory, handles)] = sizes.get(sizes.len() / 3..).unwrap_or_default() {
        println!(
            "{rounds} rounds, {kills} kills; {} → {memory} KiB, {} → {handles} handles",
            first.0, first.1
        );
        assert!(
            *memory < first.0 * 3 / 2 + 20_000,
            "SEED={seed}: memory grew from {} to {memory} KiB",
            first.0
        );
        assert!(
            *handles < first.1 + 30,
            "SEED={seed}: file handles grew from {} to {handles}",
            first.1
        );
    }
}
