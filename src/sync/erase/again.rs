//! Erases again whoever came back with an old copy of the ledger.

use super::marks::{Marker, hex};
use super::{SECRET, new_step};
use crate::ledger::{Erasure, Error as LedgerError, Ledger};
use crate::model::{CustomerKey, UnixMillis};

/// Customers that are looked at together.
const PAGE: usize = 500;

/// Begins an erasure for every customer whose key or object is one of an erased person; the next sync, or the daemon, does
/// it. How many there are. What she only shares with others (a phone) is no sign of her.
///
/// # Errors
/// When the ledger cannot be used.
pub async fn again(ledger: &dyn Ledger, now: UnixMillis) -> Result<u64, LedgerError> {
    let marks = ledger.suppression().await?;
    let Some(secret) = ledger.setting(SECRET).await?.filter(|_| !marks.is_empty()) else {
        return Ok(0);
    };
    let marker = Marker::new(&secret).map_err(LedgerError::Broken)?;
    let (mut after, mut begun) = (None::<CustomerKey>, 0);
    loop {
        let page = ledger.customers(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(begun) };
        after = Some(last.key);
        for customer in &page {
            let traces = ledger.traces(&customer.key).await?;
            let keys = traces.keys.iter().map(|key| marker.key(key));
            let mut own = keys.chain(traces.records.iter().map(|id| marker.record(id)));
            if !own.any(|mark| marks.contains(&mark)) {
                continue;
            }
            let hers: Vec<_> = marker.all(&traces).into_iter().collect();
            let erasure = Erasure {
                id: 0,
                subject: hex(&marker.key(&customer.key)),
                customer: Some(customer.key),
                by: "restore".to_owned(),
                asked_at: now,
                marks: hers.len() as u64,
                steps: traces.records.iter().map(|id| new_step(&marker, id, now)).collect(),
                purged_at: None,
                scrubbed_at: None,
                done_at: None,
            };
            ledger.begin_erasure(erasure, hers).await?;
            begun += 1;
        }
    }
}
