//! The customers of the ledger are a function of the set of records: whatever the order, the pages, the restarts.

use std::collections::{BTreeMap, BTreeSet};

use nivel::identity::matcher::generate::{Family, generate};
use nivel::merge::{MatchRules, Pick, Rules};
use nivel::model::Incoming;
use proptest::prelude::*;

use crate::fold::{Bench, bench_with, block, export, rules};

const TOOLS: [&str; 3] = ["crm", "desk", "hub"];

fn scored() -> Rules {
    Rules {
        matching: Some(MatchRules::default()),
        ..rules(Pick::Longest)
    }
}

/// People in three tools, with all the dirt there is.
fn crowd(seed: u64, rows: usize) -> BTreeMap<&'static str, Vec<Incoming>> {
    let mut tools: BTreeMap<&'static str, Vec<Incoming>> = TOOLS.map(|tool| (tool, Vec::new())).into();
    for (number, made) in generate(Family::Contacts, rows, seed).into_iter().enumerate() {
        let tool = TOOLS[usize::try_from(seed).unwrap().wrapping_add(made.source.len() + number) % 3];
        tools.get_mut(tool).unwrap().push(made.incoming());
    }
    tools
}

/// How records come.
#[derive(Clone, Debug)]
struct Way {
    order: Vec<usize>,
    turn: usize,
    page: usize,
    /// They come after the first reading, page by page.
    later: bool,
    /// The process ends after each tool.
    restarts: bool,
    /// The match looks at them after each tool, not only at the end.
    often: bool,
}

fn way() -> impl Strategy<Value = Way> {
    let order = Just(vec![0, 1, 2]).prop_shuffle();
    (
        order,
        0_usize..50,
        1_usize..40,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(order, turn, page, later, restarts, often)| Way {
            order,
            turn,
            page,
            later,
            restarts,
            often,
        })
}

/// Reads everything in this way, and deletes what is in `gone` at the end.
async fn read(
    crowd: &BTreeMap<&'static str, Vec<Incoming>>,
    way: &Way,
    gone: &BTreeSet<(&'static str, String)>,
) -> Bench {
    let pages = crowd.iter().map(|(tool, rows)| {
        let mut rows = rows.clone();
        let by = way.turn.min(rows.len());
        rows.rotate_left(by);
        let mut pages: Vec<Vec<Incoming>> = rows.chunks(way.page).map(<[Incoming]>::to_vec).collect();
        if way.later {
            pages.insert(0, Vec::new());
        }
        let deleted = |row: &Incoming| Incoming {
            deleted: true,
            ..row.clone()
        };
        let is_gone = |row: &&Incoming| gone.contains(&(*tool, row.remote.to_string()));
        pages.push(rows.iter().filter(is_gone).map(deleted).collect());
        (*tool, pages)
    });
    let mut bench = bench_with(pages.collect(), scored());
    for round in 0..2 {
        for tool in way
            .order
            .iter()
            .map(|at| TOOLS[*at])
            .filter(|_| round == 0 || way.later)
        {
            bench.engine.pull_system(tool).await.unwrap();
            if way.often {
                assert_eq!(bench.engine.match_records().await.unwrap(), None);
            }
            if way.restarts {
                bench = bench.restarted();
            }
        }
    }
    assert_eq!(bench.engine.match_records().await.unwrap(), None);
    bench
}

/// Customers with their live records, and the open questions.
async fn who_is_who(
    bench: &Bench,
    gone: &BTreeSet<(&'static str, String)>,
) -> (BTreeSet<BTreeSet<String>>, BTreeSet<(String, String)>) {
    let ledger = bench.engine.ledger();
    assert_eq!(ledger.totals().await.unwrap().unmatched, 0);
    let is_gone = |id: &String| {
        gone.iter()
            .any(|(tool, remote)| *id == format!("{tool}/person/{remote}"))
    };
    let customers = export(ledger.as_ref()).await.customers;
    let live = customers
        .into_keys()
        .map(|records| records.into_iter().filter(|id| !is_gone(id)).collect());
    let live: BTreeSet<BTreeSet<String>> = live.filter(|records: &BTreeSet<String>| !records.is_empty()).collect();
    let reviews = ledger.reviews(10_000).await.unwrap();
    let reviews = reviews
        .iter()
        .map(|review| (review.left.to_string(), review.right.to_string()));
    (live, reviews.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_any_pages_and_any_restart_give_the_same_customers(seed in 0_u64..1000, one in way(), other in way()) {
        let crowd = crowd(seed, 90);
        let none = BTreeSet::new();
        let (one, other) = block(async {
            let one = read(&crowd, &one, &none).await;
            let other = read(&crowd, &other, &none).await;
            (who_is_who(&one, &none).await, who_is_who(&other, &none).await)
        });
        let merged = one.0.iter().filter(|records| records.len() > 1).count();
        prop_assert!(merged > 5, "people stand in several tools");
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_was_deleted_leaves_no_trace(seed in 0_u64..1000, way in way(), third in 0_usize..3) {
        let crowd = crowd(seed, 90);
        let gone: BTreeSet<_> = crowd.iter().flat_map(|(tool, rows)| {
            rows.iter().skip(third).step_by(3).map(move |row| (*tool, row.remote.to_string()))
        }).collect();
        let mut rest = crowd.clone();
        for (tool, rows) in &mut rest {
            rows.retain(|row| !gone.contains(&(*tool, row.remote.to_string())));
        }
        let none = BTreeSet::new();
        let (with, without) = block(async {
            let with = read(&crowd, &way, &gone).await;
            let without = read(&rest, &way, &none).await;
            (who_is_who(&with, &gone).await, who_is_who(&without, &none).await)
        });
        prop_assert_eq!(with, without);
    }
}
