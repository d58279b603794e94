//! Which organizations a person belongs to, and who belongs to an organization, looked up in the ledger as it is now.

use std::collections::BTreeSet;

use crate::identity::affiliation::{Affiliation, Sign, affiliations, answers, says};
use crate::ledger::{Error, Ledger, View};
use crate::model::{CustomerKey, Kind, RecordId};

/// The organizations that a person of a view belongs to, the surest first; none for an organization.
///
/// # Errors
/// When the ledger cannot be used.
pub async fn organizations(ledger: &dyn Ledger, view: &View, person: CustomerKey) -> Result<Vec<Affiliation>, Error> {
    if person.kind != Kind::Person {
        return Ok(Vec::new());
    }
    let hers = view.records.values().filter(|(_, home)| *home == person);
    let said: Vec<(RecordId, Sign)> = hers
        .flat_map(|(record, _)| says(record).into_iter().map(|sign| (record.id.clone(), sign)))
        .collect();
    let signs: BTreeSet<Sign> = said.iter().map(|(_, sign)| sign.clone()).collect();
    let signs: Vec<Sign> = signs.into_iter().collect();
    let answering = ledger.organizations(&signs).await?;
    let of = |sign: &Sign| {
        let at = signs.binary_search(sign).ok();
        at.and_then(|at| answering.get(at)).cloned().unwrap_or_default()
    };
    let said: Vec<_> = said
        .into_iter()
        .map(|(record, sign)| {
            let answering = of(&sign);
            (record, sign, answering)
        })
        .collect();
    Ok(affiliations(&said))
}

/// The people that belong to an organization of a view, as [`organizations`] would say of each of them; none for a person.
///
/// # Errors
/// When the ledger cannot be used.
pub async fn people(
    ledger: &dyn Ledger,
    view: &View,
    organization: CustomerKey,
) -> Result<BTreeSet<CustomerKey>, Error> {
    if organization.kind != Kind::Organization {
        return Ok(BTreeSet::new());
    }
    let mut signs = BTreeSet::new();
    for (record, _) in view.records.values().filter(|(_, home)| *home == organization) {
        signs.extend(answers(record));
        signs.insert(Sign::Object {
            system: record.id.stream.system.clone(),
            id: record.id.remote.clone(),
        });
    }
    let signs: Vec<Sign> = signs.into_iter().collect();
    let answering = ledger.organizations(&signs).await?;
    // A sign to which others answer too makes nobody theirs.
    let alone = BTreeSet::from([organization]);
    let own = signs
        .into_iter()
        .zip(answering)
        .filter(|(_, answering)| *answering == alone);
    let own: Vec<Sign> = own.map(|(sign, _)| sign).collect();
    ledger.people(&own).await
}
