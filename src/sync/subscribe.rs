//! Subscriptions are declared state: what the tool has is compared with what is wanted, and the difference is carried out.
//! Only subscriptions to our own address are ever touched.

use std::collections::BTreeSet;
use std::time::Duration;

use compact_str::CompactString;

use super::engine::Engine;
use crate::connector::Subscription;
use crate::error::Failure;
use crate::model::UnixMillis;

/// Subscriptions that end within this time are prolonged: twice the time between two audits at least, and a weekend.
const RENEW_BEFORE: Duration = Duration::from_secs(3 * 24 * 3600);

/// What is wanted of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Our address.
    pub url: String,
    /// Every address that begins with this is ours, also one with a former secret.
    pub ours: String,
    /// Topics, one set for each subscription; none at all when we want nothing (any more).
    pub groups: Vec<BTreeSet<CompactString>>,
    /// Whether the tool can prolong a subscription.
    pub can_renew: bool,
}

/// One call that brings the tool nearer to what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make one for these topics.
    Create(BTreeSet<CompactString>),
    /// Prolong this one.
    Renew(CompactString, BTreeSet<CompactString>),
    /// Remove this one.
    Remove(CompactString),
}

/// The difference between what there is and what is wanted. What is made comes before what is removed, so that nothing is
/// missed in between.
#[must_use]
pub fn steps(present: &[Subscription], wish: &Wish, now: UnixMillis) -> Vec<Step> {
    let is_ours = |row: &&Subscription| {
        row.url
            .strip_prefix(wish.ours.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let ours: Vec<&Subscription> = present.iter().filter(is_ours).collect();
    let mut kept = BTreeSet::new();
    let mut steps = Vec::new();
    for group in &wish.groups {
        let fits = |row: &&&Subscription| row.is_alive && row.url == wish.url && row.topics == *group;
        let ends_soon = |row: &Subscription| row.expires.is_some_and(|at| at <= now.plus(RENEW_BEFORE));
        let mut adopted = ours.iter().filter(fits);
        match adopted.clone().find(|row| !ends_soon(row)).or_else(|| adopted.next()) {
            None => steps.push(Step::Create(group.clone())),
            Some(row) if ends_soon(row) && !wish.can_renew => steps.push(Step::Create(group.clone())),
            Some(row) => {
                kept.insert(&row.id);
                if ends_soon(row) {
                    steps.push(Step::Renew(row.id.clone(), group.clone()));
                }
            }
        }
    }
    let others = ours.iter().filter(|row| !kept.contains(&row.id));
    steps.extend(others.map(|row| Step::Remove(row.id.clone())));
    steps
}

impl Engine {
    /// Makes the subscriptions of a system what they should be. What was done.
    ///
    /// # Errors
    /// When the tool refuses or does not answer; what was done before stays.
    pub async fn keep_subscriptions(&self, system: &str, wish: &Wish) -> Result<Vec<Step>, Failure> {
        let Some(connection) = self.connections.get(system) else {
            return Ok(Vec::new());
        };
        let present = connection.subscriptions().await?;
        let steps = steps(&present, wish, self.clock.now());
        for step in &steps {
            tracing::info!(system, ?step, "a subscription of webhooks is put right");
            match step {
                Step::Create(topics) => connection.subscribe(None, &wish.url, &list(topics)).await?,
                Step::Renew(id, topics) => connection.subscribe(Some(id), &wish.url, &list(topics)).await?,
                Step::Remove(id) => connection.unsubscribe(id).await?,
            }
        }
        Ok(steps)
    }
}

fn list(topics: &BTreeSet<CompactString>) -> Vec<CompactString> {
    topics.iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://n.example/webhooks/crm";
    const NOW: UnixMillis = UnixMillis(1_000_000_000_000);

    fn row(id: &str, url: &str, topics: &[&str]) -> Subscription {
        Subscription {
            id: id.into(),
            url: url.to_owned(),
            topics: topics.iter().map(|topic| (*topic).into()).collect(),
            is_alive: true,
            expires: None,
        }
    }

    fn group(topics: &[&str]) -> BTreeSet<CompactString> {
        topics.iter().map(|topic| (*topic).into()).collect()
    }

    fn wish(groups: &[&[&str]]) -> Wish {
        Wish {
            url: OURS.to_owned(),
            ours: OURS.to_owned(),
            groups: groups.iter().map(|topics| group(topics)).collect(),
            can_renew: true,
        }
    }

    #[track_caller]
    fn check(present: &[Subscription], wish: &Wish, expected: &[Step]) {
        assert_eq!(steps(present, wish, NOW), expected);
    }

    #[test]
    fn p20_what_is_there_is_adopted_and_one_event_comes_once() {
        let create = |topic: &str| Step::Create(group(&[topic]));
        let remove = |id: &str| Step::Remove(id.into());
        let others = row("o", "https://other.example/webhooks/crm", &["person"]);
        let neighbour = row("n", "https://n.example/webhooks/crm-two", &["person"]);
        check(
            &[others.clone(), neighbour.clone()],
            &wish(&[&["person"]]),
            &[create("person")],
        );
        check(
            &[row("1", OURS, &["person"]), others.clone()],
            &wish(&[&["person"]]),
            &[],
        );
        let thrice = [
            row("1", OURS, &["person"]),
            row("2", OURS, &["person"]),
            row("3", OURS, &["person"]),
        ];
        check(&thrice, &wish(&[&["person"]]), &[remove("2"), remove("3")]);
        check(
            &[row("1", OURS, &["deal"]), others.clone()],
            &wish(&[&["person"]]),
            &[create("person"), remove("1")],
        );
        check(
            &[row("1", OURS, &["person"]), neighbour, others],
            &wish(&[]),
            &[remove("1")],
        );
        let rotated = format!("{OURS}/old-secret");
        check(
            &[row("1", &rotated, &["person"])],
            &wish(&[&["person"]]),
            &[create("person"), remove("1")],
        );
        check(&[row("1", OURS, &["b", "a"])], &wish(&[&["a", "b"]]), &[]);
    }

    #[test]
    fn p35_one_that_died_or_ends_soon_is_put_right() {
        let mut dead = row("1", OURS, &["person"]);
        dead.is_alive = false;
        let create = Step::Create(group(&["person"]));
        check(
            &[dead],
            &wish(&[&["person"]]),
            &[create.clone(), Step::Remove("1".into())],
        );
        let mut ending = row("1", OURS, &["person"]);
        ending.expires = Some(NOW.plus(Duration::from_secs(3600)));
        check(
            &[ending.clone()],
            &wish(&[&["person"]]),
            &[Step::Renew("1".into(), group(&["person"]))],
        );
        let cannot = Wish {
            can_renew: false,
            ..wish(&[&["person"]])
        };
        check(&[ending.clone()], &cannot, &[create, Step::Remove("1".into())]);
        ending.expires = Some(NOW.plus(RENEW_BEFORE * 2));
        check(&[ending], &wish(&[&["person"]]), &[]);
    }
}
