//! `nivel customer show WHO --at TIME`: the golden record as it was, told back from the audit trail.

use serde::Serialize;

use super::customer::cell_text;
use super::output::{Show, line, table};
use crate::error::{Code, Problem};
use crate::ledger::{ChangeRow, What};
use crate::model::{CustomerKey, FieldName, Fields, UnixMillis};

/// Reads a moment: RFC 3339, or a day, which is meant to its end.
pub(super) fn moment(text: &str) -> Result<UnixMillis, String> {
    if let Some(at) = UnixMillis::from_rfc3339(text) {
        return Ok(at);
    }
    UnixMillis::from_rfc3339(&format!("{text}T23:59:59Z"))
        .ok_or_else(|| "write a time such as 2026-01-31T12:00:00Z, or a day such as 2026-01-31".to_owned())
}

/// A customer as she was.
#[derive(Debug, Serialize)]
pub(super) struct Past {
    key: CustomerKey,
    at: UnixMillis,
    golden: Fields,
    /// Fields that have changed since.
    changed_since: Vec<FieldName>,
}

impl Past {
    /// From what she is now, back through her trail (newest first).
    ///
    /// # Errors
    /// When nobody knew her then.
    pub(super) fn of(key: CustomerKey, now: &Fields, trail: &[ChangeRow], at: UnixMillis) -> Result<Self, Problem> {
        if born(key).is_some_and(|born| at < born) {
            let problem = Problem::new(Code::NotFound, format!("nobody knew {key} at {at}"));
            return Err(problem.hint("`nivel customer show` without --at tells when she was first seen"));
        }
        let mut golden = now.clone();
        let own = trail
            .iter()
            .filter(|row| row.change.customer == key && row.change.record.is_none());
        for row in own.take_while(|row| row.at > at) {
            let What::Fields(fields) = &row.change.what else {
                continue;
            };
            for (field, (old, _)) in fields {
                match old {
                    Some(value) => drop(golden.0.insert(field.clone(), Some(value.clone()))),
                    None => drop(golden.0.remove(field)),
                }
            }
        }
        let names = golden.0.keys().chain(now.0.keys());
        let mut changed: Vec<FieldName> = names
            .filter(|name| golden.value(name.as_str()) != now.value(name.as_str()))
            .cloned()
            .collect();
        changed.sort();
        changed.dedup();
        Ok(Self {
            key,
            at,
            golden,
            changed_since: changed,
        })
    }
}

/// When a key was given out: it says so itself.
fn born(key: CustomerKey) -> Option<UnixMillis> {
    let (seconds, nanos) = key.id.get_timestamp()?.to_unix();
    let millis = seconds.checked_mul(1000)?.checked_add(u64::from(nanos) / 1_000_000)?;
    i64::try_from(millis).ok().map(UnixMillis)
}

impl Show for Past {
    fn text(&self) -> String {
        let mut text = format!("{}  as of {}\n\n", self.key, self.at);
        let row = |field: &FieldName| {
            let mark = if self.changed_since.contains(field) {
                "changed since"
            } else {
                ""
            };
            [field.to_string(), cell_text(&self.golden, field), mark.to_owned()]
        };
        line(
            &mut text,
            table(["field", "customer", ""], self.golden.0.keys().map(row)),
        );
        let gone: Vec<&str> = self
            .changed_since
            .iter()
            .filter(|field| !self.golden.0.contains_key(*field))
            .map(FieldName::as_str)
            .collect();
        if !gone.is_empty() {
            line(&mut text, format_args!("\nnot known then: {}", gone.join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Cause, Change};
    use crate::model::{Kind, Value};

    fn key() -> CustomerKey {
        CustomerKey {
            id: uuid::Uuid::from_u128(1),
            kind: Kind::Person,
        }
    }

    fn row(at: i64, field: &str, old: Option<&str>, new: &str) -> ChangeRow {
        let change = (old.and_then(Value::text), Value::text(new));
        ChangeRow {
            at: UnixMillis(at),
            cause: Cause::Rules,
            change: Change {
                customer: key(),
                record: None,
                what: What::Fields([(field.into(), change)].into()),
            },
        }
    }

    #[test]
    fn the_trail_leads_back() {
        let now = Fields::from([
            ("phone", Value::Text("3".into())),
            ("city", Value::Text("Turku".into())),
        ]);
        let trail = [
            row(30, "phone", Some("2"), "3"),
            row(20, "city", None, "Turku"),
            row(10, "phone", Some("1"), "2"),
        ];
        let phone = |at: i64| {
            let past = Past::of(key(), &now, &trail, UnixMillis(at)).unwrap();
            (
                past.golden.text("phone").map(str::to_owned),
                past.golden.text("city").is_some(),
                past.changed_since.len(),
            )
        };
        assert_eq!(phone(40), (Some("3".to_owned()), true, 0));
        assert_eq!(phone(30), (Some("3".to_owned()), true, 0));
        assert_eq!(phone(25), (Some("2".to_owned()), true, 1));
        assert_eq!(phone(15), (Some("2".to_owned()), false, 2));
        assert_eq!(phone(5), (Some("1".to_owned()), false, 2));
    }

    #[test]
    fn nobody_is_known_before_her_key_was_given_out() {
        let young = CustomerKey {
            id: uuid::Uuid::now_v7(),
            kind: Kind::Person,
        };
        assert!(Past::of(young, &Fields::default(), &[], UnixMillis(1)).is_err());
    }

    #[test]
    fn a_day_is_meant_to_its_end() {
        assert!(moment("2026-01-31").unwrap() > moment("2026-01-31T12:00:00Z").unwrap());
        assert!(moment("yesterday").is_err());
    }
}
