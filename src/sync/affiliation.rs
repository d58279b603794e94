//! Which organizations a person belongs to, looked up in the ledger as it is now.

use std::collections::BTreeSet;

use crate::identity::affiliation::{Affiliation, Sign, affiliations, says};
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
