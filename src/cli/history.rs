//! The audit trail in words.

use super::output::count;
use crate::ledger::{ChangeRow, What};
use crate::model::{FieldName, Value};

/// One line of the trail: when, where, what.
pub(super) fn history_row(row: &ChangeRow) -> [String; 3] {
    let place = row
        .change
        .record
        .as_ref()
        .map_or_else(|| "customer".to_owned(), ToString::to_string);
    [row.at.to_string(), place, what_text(&row.change.what)]
}

fn what_text(what: &What) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "(empty)".to_owned(), ToString::to_string);
    match what {
        What::Appeared => "first seen".to_owned(),
        What::Fields(fields) => {
            let change = |(field, (old, new)): (&FieldName, &(Option<Value>, Option<Value>))| {
                format!("{field}: {} → {}", value(old), value(new))
            };
            fields.iter().map(change).collect::<Vec<_>>().join("; ")
        }
        What::Deleted => "deleted there".to_owned(),
        What::Removed => "removed by Nivel, because it was deleted elsewhere".to_owned(),
        What::Restored => "back after a deletion".to_owned(),
        What::Moved(from) => format!("moved here from {from}"),
        What::Merged(other, records) => {
            let number = u64::try_from(records.len()).unwrap_or(u64::MAX);
            format!("took in {other} with {}", count(number, "record"))
        }
        What::Made(wrote) | What::Wrote(wrote) => {
            let verb = if matches!(what, What::Made(_)) {
                "made it with"
            } else {
                "wrote"
            };
            let set =
                |(field, (_, new)): (&FieldName, &(Option<Value>, Option<Value>))| format!("{field} = {}", value(new));
            format!(
                "Nivel {verb} {}",
                wrote.fields.iter().map(set).collect::<Vec<_>>().join("; ")
            )
        }
        What::Undone(fields) => {
            let set = |(field, (_, back)): (&FieldName, &(Option<Value>, Option<Value>))| {
                format!("{field} = {}", value(back))
            };
            format!(
                "taken back, and frozen: {}",
                fields.iter().map(set).collect::<Vec<_>>().join("; ")
            )
        }
        What::GivenBack(fields) => {
            let set = |(field, (_, back)): (&FieldName, &(Option<Value>, Option<Value>))| {
                format!("{field} = {}", value(back))
            };
            format!(
                "given back after a split: {}",
                fields.iter().map(set).collect::<Vec<_>>().join("; ")
            )
        }
        What::Died(problem) => format!("write given up: {problem}"),
        What::Frozen(fields) => {
            let names: Vec<_> = fields.iter().map(FieldName::as_str).collect();
            format!("not written any more, frozen: {}", names.join(", "))
        }
        What::Released(fields) => {
            let names: Vec<_> = fields.iter().map(FieldName::as_str).collect();
            format!("written again, released: {}", names.join(", "))
        }
    }
}
