//! Where customers stop on their way from team to team: each rule as a step, counted in customers.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde::Serialize;

use super::passage::{Passage, State};
use super::rule::Rule;
use crate::model::CustomerKey;

/// One step of the way. Everything in it counts customers, however often one passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The rule.
    pub rule: CompactString,
    /// The rules that lead to where this one begins. None: the way begins here, or the rule stays within one system.
    pub after: Vec<CompactString>,
    /// Those who arrived by the steps before. Without such a step: those who began here.
    pub reached: u64,
    /// Of these, those who began this step,
    pub began: u64,
    /// arrived at its end,
    pub arrived: u64,
    /// and were taken on.
    pub taken_on: u64,
    /// Those who began and have not arrived, by what keeps them: `open`, `cancelled`, or the reason to stop.
    pub kept: BTreeMap<&'static str, u64>,
    /// Those who began here and came another way than by the steps before: they are in none of the other figures.
    pub besides: u64,
}

/// How far one customer came on one step.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    has_arrived: bool,
    is_taken_on: bool,
    /// What keeps her, by her latest passage.
    kept: Option<&'static str>,
}

/// The steps in the order of the way.
#[must_use]
pub fn funnel<'a>(rules: &[Rule], passages: impl IntoIterator<Item = &'a Passage>) -> Vec<Step> {
    let mut latest: Vec<&Passage> = passages.into_iter().collect();
    latest.sort_by_key(|passage| passage.opened_at);
    let mut by_rule: BTreeMap<&str, BTreeMap<CustomerKey, Progress>> = BTreeMap::new();
    for passage in latest {
        let customers = by_rule.entry(&passage.rule).or_default();
        customers.entry(passage.customer).or_default().take(passage);
    }
    let in_order = in_order(rules);
    let step = |rule: &&Rule| step(rule, &before(rule, rules), &by_rule);
    in_order.iter().map(step).collect()
}

impl Progress {
    fn take(&mut self, passage: &Passage) {
        self.has_arrived |= passage.delivered_at.is_some();
        self.is_taken_on |= passage.accepted.is_some();
        let reason = passage.stop.as_ref().map(|stop| stop.reason.as_str());
        self.kept = match passage.state {
            State::Delivered | State::Accepted => None,
            State::Stopped => reason.or(Some(State::Stopped.as_str())),
            state @ (State::Open | State::Cancelled) => Some(state.as_str()),
        };
    }
}

fn step(rule: &Rule, before: &[&Rule], by_rule: &BTreeMap<&str, BTreeMap<CustomerKey, Progress>>) -> Step {
    let nobody = BTreeMap::new();
    let of = |rule: &Rule| by_rule.get(rule.name.as_str()).unwrap_or(&nobody);
    let arrived_before: BTreeSet<CustomerKey> = before
        .iter()
        .flat_map(|rule| of(rule))
        .filter_map(|(customer, progress)| progress.has_arrived.then_some(*customer))
        .collect();
    let mut step = Step {
        rule: rule.name.clone(),
        after: before.iter().map(|rule| rule.name.clone()).collect(),
        reached: arrived_before.len() as u64,
        ..Step::default()
    };
    for (customer, progress) in of(rule) {
        if !before.is_empty() && !arrived_before.contains(customer) {
            step.besides += 1;
            continue;
        }
        step.began += 1;
        step.arrived += u64::from(progress.has_arrived);
        step.taken_on += u64::from(progress.is_taken_on);
        if let Some(why) = progress.kept.filter(|_| !progress.has_arrived) {
            *step.kept.entry(why).or_default() += 1;
        }
    }
    if before.is_empty() {
        step.reached = step.began;
    }
    step
}

/// True when a rule brings customers from one system to another.
fn crosses(rule: &Rule) -> bool {
    rule.from.as_ref() != Some(&rule.to.system)
}

/// The rules that lead to where a rule begins.
fn before<'r>(rule: &Rule, rules: &'r [Rule]) -> Vec<&'r Rule> {
    let leads = |one: &&Rule| crosses(rule) && crosses(one) && rule.from.as_ref() == Some(&one.to.system);
    rules.iter().filter(leads).collect()
}

/// What leads to a rule comes before it. Rules that lead in a circle stay as they are named.
fn in_order(rules: &[Rule]) -> Vec<&Rule> {
    let mut depth: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in rules {
        for rule in rules {
            let before = before(rule, rules);
            let depths = before
                .iter()
                .map(|one| depth.get(one.name.as_str()).map_or(1, |depth| depth + 1));
            let deepest = depths.max().unwrap_or_default();
            depth.insert(&rule.name, deepest.min(rules.len()));
        }
    }
    let mut ordered: Vec<&Rule> = rules.iter().collect();
    ordered.sort_by_key(|rule| (depth.get(rule.name.as_str()).copied(), rule.name.clone()));
    ordered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::handoff::{Reason, Stop, When, Within, Words};
    use crate::model::{Kind, StreamId, UnixMillis};

    fn rule(name: &str, from: Option<&str>, to: &str) -> Rule {
        let words = Words {
            fields: ["email".into()].into(),
            ..Words::default()
        };
        Rule {
            name: name.into(),
            from: from.map(CompactString::from),
            kind: Kind::Person,
            to: StreamId::new(to, "person"),
            when: When::read("email", &words).unwrap(),
            carry: Vec::new(),
            within: Within {
                time: Duration::from_secs(1),
                calendar: None,
            },
            create: true,
            note: None,
            opens: None,
            alert: None,
        }
    }

    fn passage(rule: &Rule, customer: u128, at: i64, state: State) -> Passage {
        let key = CustomerKey {
            id: Uuid::from_u128(customer),
            kind: Kind::Person,
        };
        let at = UnixMillis(at);
        Passage {
            state,
            delivered_at: matches!(state, State::Delivered | State::Accepted).then_some(at),
            stop: (state == State::Stopped).then(|| Stop {
                reason: Reason::Held,
                detail: String::new(),
                at,
            }),
            ..Passage::new(rule, key, None, at)
        }
    }

    #[test]
    fn each_step_counts_those_who_came_by_the_one_before() {
        let sell = rule("sell", Some("marketing"), "sales");
        let partner = rule("partner", Some("partner"), "sales");
        let help = rule("help", Some("sales"), "support");
        let owner = rule("owner", Some("sales"), "sales");
        let rules = [help.clone(), owner.clone(), partner.clone(), sell.clone()];
        let passages = [
            passage(&sell, 1, 1, State::Delivered),
            passage(&sell, 2, 1, State::Stopped),
            passage(&sell, 3, 1, State::Open),
            passage(&partner, 4, 1, State::Accepted),
            // She stopped once, and arrived the second time.
            passage(&sell, 5, 1, State::Cancelled),
            passage(&sell, 5, 2, State::Delivered),
            passage(&help, 1, 3, State::Delivered),
            passage(&help, 4, 3, State::Stopped),
            // Nobody handed her over to sales.
            passage(&help, 9, 3, State::Delivered),
            passage(&owner, 1, 4, State::Delivered),
        ];
        let steps = funnel(&rules, &passages);
        let shown: Vec<String> = steps
            .iter()
            .map(|step| {
                let (reached, began, arrived) = (step.reached, step.began, step.arrived);
                format!(
                    "{} {reached} {began} {arrived} {:?} {}",
                    step.rule, step.kept, step.besides
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "owner 1 1 1 {} 0",
                "partner 1 1 1 {} 0",
                "sell 4 4 2 {\"held\": 1, \"open\": 1} 0",
                "help 3 2 1 {\"held\": 1} 1",
            ]
        );
        assert_eq!(steps[3].after, ["partner", "sell"]);
    }

    #[test]
    fn a_circle_of_rules_ends() {
        let rules = [rule("out", Some("a"), "b"), rule("back", Some("b"), "a")];
        assert_eq!(funnel(&rules, &[]).len(), 2);
    }
}
