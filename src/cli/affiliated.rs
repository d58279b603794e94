//! The organizations that a person belongs to, as `nivel customer show` and `why` print them.

use serde::Serialize;

use super::Failed;
use super::output::line;
use crate::identity::affiliation::Affiliation;
use crate::ledger::{Ledger, View};
use crate::model::{CustomerKey, Value};
use crate::sync::affiliation::organizations;

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
        let organization = ledger.customer(&affiliation.organization).await?;
        let name = organization.and_then(|organization| {
            let named = ["company", "full_name"].map(|field| organization.golden.value(field).map(Value::to_string));
            named.into_iter().flatten().next()
        });
        found.push(Affiliated { affiliation, name });
    }
    Ok(found)
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
