//! The organizations that a person belongs to, as `nivel customer show` and `why` print them, and the people of one.

use serde::Serialize;

use super::Failed;
use super::output::{count, line};
use crate::identity::affiliation::Affiliation;
use crate::identity::name;
use crate::ledger::{Ledger, View};
use crate::model::{CustomerKey, Kind, Value};
use crate::sync::affiliation::{organizations, people};

/// How many people of an organization are shown.
const PEOPLE_MAX: usize = 20;

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Affiliated {
    #[serde(flatten)]
    affiliation: Affiliation,
    /// What it is called.
    name: Option<String>,
}

/// The organizations that a customer of a view belongs to, by her live key.
pub(super) async fn affiliated(ledger: &dyn Ledger, view: &View, key: CustomerKey) -> Result<Vec<Affiliated>, Failed> {
    let key = view.aliases.get(&key).copied().unwrap_or(key);
    let mut found = Vec::new();
    for affiliation in organizations(ledger, view, key).await? {
        let name = name_of(ledger, affiliation.organization).await?;
        found.push(Affiliated { affiliation, name });
    }
    Ok(found)
}

/// What a customer is called.
async fn name_of(ledger: &dyn Ledger, key: CustomerKey) -> Result<Option<String>, Failed> {
    let Some(customer) = ledger.customer(&key).await? else {
        return Ok(None);
    };
    let text = |field: &str| customer.golden.value(field).map(Value::to_string);
    Ok(match key.kind {
        Kind::Organization => text("company").or_else(|| text("full_name")),
        Kind::Person => text("full_name")
            .or_else(|| name::join(text("given_name").as_deref(), text("family_name").as_deref()).map(String::from))
            .or_else(|| text("email")),
    })
}

/// The people of an organization.
#[derive(Clone, Debug, Serialize)]
pub(super) struct People {
    count: usize,
    /// The first of them.
    first: Vec<Belonging>,
}

#[derive(Clone, Debug, Serialize)]
struct Belonging {
    key: CustomerKey,
    name: Option<String>,
}

/// The people of an organization of a view, by its live key; nothing for a person.
pub(super) async fn belonging(ledger: &dyn Ledger, view: &View, key: CustomerKey) -> Result<Option<People>, Failed> {
    let key = view.aliases.get(&key).copied().unwrap_or(key);
    if key.kind != Kind::Organization {
        return Ok(None);
    }
    let all = people(ledger, view, key).await?;
    let mut first = Vec::new();
    for key in all.iter().copied().take(PEOPLE_MAX) {
        let name = name_of(ledger, key).await?;
        first.push(Belonging { key, name });
    }
    let count = all.len();
    Ok(Some(People { count, first }))
}

/// How many there are, and a line for each of the first.
pub(super) fn belonging_text(people: &People) -> String {
    let all = u64::try_from(people.count).unwrap_or(u64::MAX);
    let mut text = format!("belonging to it: {}\n", count(all, "customer"));
    for one in &people.first {
        let name = one.name.as_deref().unwrap_or_default();
        line(&mut text, format_args!("  {} {name}", one.key));
    }
    let more = people.count - people.first.len();
    if more > 0 {
        line(&mut text, format_args!("  … and {more} more"));
    }
    text
}

/// One line for each, with why.
pub(super) fn affiliated_text(affiliated: &[Affiliated]) -> String {
    let mut text = String::new();
    for one in affiliated {
        let Affiliation { organization, because } = &one.affiliation;
        let because: Vec<String> = because
            .iter()
            .map(|(record, sign)| format!("{record}: {sign}"))
            .collect();
        let name = one.name.as_deref().unwrap_or_default();
        line(
            &mut text,
            format_args!("belongs to {organization} {name} ({})", because.join("; ")),
        );
    }
    text
}
