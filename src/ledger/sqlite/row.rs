//! Between rows and the words of the model. Compact JSON for what is only ever read as a whole.

use std::collections::BTreeMap;

use compact_str::CompactString;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::streams::Streams;
use super::trouble::Trouble;
use crate::ledger::Slot;
use crate::model::{Customer, CustomerKey, FieldName, Kind, Lineage, Observed, Origin, Record, RecordId, UnixMillis};

/// A count as SQLite keeps it.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as read back.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// A bound on rows as SQLite takes it.
pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, Trouble> {
    Ok(serde_json::to_string(value)?)
}

pub(super) fn optional_json(value: Option<&impl Serialize>) -> Result<Option<String>, Trouble> {
    value.map(to_json).transpose()
}

/// JSON of a map, nothing for an empty one.
pub(super) fn map_json<V: Serialize>(map: &BTreeMap<FieldName, V>) -> Result<Option<String>, Trouble> {
    optional_json(Some(map).filter(|map| !map.is_empty()))
}

pub(super) fn text<'row>(row: &'row Row<'_>, at: usize) -> Result<&'row str, Trouble> {
    Ok(row.get_ref(at)?.as_str()?)
}

pub(super) fn optional_text<'row>(row: &'row Row<'_>, at: usize) -> Result<Option<&'row str>, Trouble> {
    Ok(row.get_ref(at)?.as_str_or_null()?)
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> Result<T, Trouble> {
    Ok(serde_json::from_str(text(row, at)?)?)
}

pub(super) fn json_or_none<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> Result<Option<T>, Trouble> {
    Ok(optional_text(row, at)?.map(serde_json::from_str).transpose()?)
}

pub(super) fn time(row: &Row<'_>, at: usize) -> Result<Option<UnixMillis>, Trouble> {
    Ok(row.get::<_, Option<i64>>(at)?.map(UnixMillis))
}

/// The number by which a kind is stored.
pub(super) fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Person => 0,
        Kind::Organization => 1,
    }
}

fn kind_of(number: i64) -> Result<Kind, Trouble> {
    match number {
        0 => Ok(Kind::Person),
        1 => Ok(Kind::Organization),
        _ => Err(Trouble::bug(format!("no kind of customer has the number {number}"))),
    }
}

/// A key from its two columns, which stand side by side.
pub(super) fn key(row: &Row<'_>, at: usize) -> Result<CustomerKey, Trouble> {
    let id = Uuid::from_slice(row.get_ref(at)?.as_blob()?)
        .map_err(|error| Trouble::bug(format!("a stored customer key is damaged: {error}")))?;
    Ok(CustomerKey {
        id,
        kind: kind_of(row.get(at + 1)?)?,
    })
}

/// A slot as one column: text for an object, 17 bytes for a key.
pub(super) fn slot_value(slot: &Slot) -> rusqlite::types::Value {
    match slot {
        Slot::Object(remote) => rusqlite::types::Value::Text(remote.to_string()),
        Slot::New(key) => {
            let mut bytes = key.id.as_bytes().to_vec();
            bytes.push(kind_number(key.kind));
            rusqlite::types::Value::Blob(bytes)
        }
    }
}

pub(super) fn slot(row: &Row<'_>, at: usize) -> Result<Slot, Trouble> {
    match row.get_ref(at)? {
        ValueRef::Blob([id @ .., kind]) => Ok(Slot::New(CustomerKey {
            id: Uuid::from_slice(id)
                .map_err(|error| Trouble::bug(format!("a stored customer key is damaged: {error}")))?,
            kind: kind_of(i64::from(*kind))?,
        })),
        other => Ok(Slot::Object(other.as_str()?.into())),
    }
}

/// The columns that [`record`] reads, in its order.
macro_rules! record_columns {
    () => {
        "id, stream, remote, observed_at, updated_at, written_at, deleted_at, version, fields, observed, ours, bounces, problem, \
         is_unread, is_made, sent"
    };
}
pub(super) use record_columns;

/// The columns that [`customer`] reads, in its order.
macro_rules! customer_columns {
    () => {
        "id, merged_into, key, kind, version, golden, lineage"
    };
}
pub(super) use customer_columns;

/// A record from its columns, with its id inside.
pub(super) fn record(conn: &Connection, streams: &mut Streams, row: &Row<'_>) -> Result<(i64, Record), Trouble> {
    let stream = streams.name(conn, row.get(1)?)?.clone();
    let record = Record {
        id: RecordId {
            stream,
            remote: text(row, 2)?.into(),
        },
        fields: json(row, 8)?,
        observed: Observed {
            base: UnixMillis(row.get(3)?),
            fields: json_or_none(row, 9)?.unwrap_or_default(),
        },
        updated_at: time(row, 4)?,
        version: optional_text(row, 7)?.map(CompactString::from),
        ours: json_or_none(row, 10)?.unwrap_or_default(),
        written_at: time(row, 5)?,
        bounces: json_or_none(row, 11)?.unwrap_or_default(),
        deleted_at: time(row, 6)?,
        problem: json_or_none(row, 12)?,
        is_unread: row.get(13)?,
        is_made: row.get(14)?,
        sent: json_or_none(row, 15)?.unwrap_or_default(),
    };
    Ok((row.get(0)?, record))
}

/// A live customer from its columns.
pub(super) fn customer(row: &Row<'_>) -> Result<Customer, Trouble> {
    Ok(Customer {
        lineage: lineage(text(row, 6)?)?,
        ..customer_without_lineage(row)?
    })
}

/// As [`customer`], for those who make a new lineage and do not look at the old one.
pub(super) fn customer_without_lineage(row: &Row<'_>) -> Result<Customer, Trouble> {
    Ok(Customer {
        key: key(row, 2)?,
        golden: json(row, 5)?,
        lineage: Lineage::new(),
        version: unsigned(row.get(4)?),
        merged_into: None,
    })
}

/// One origin with all the fields that share it: a customer's fields come from few records, so this is a fraction of
/// the size of one origin per field.
#[derive(Serialize, Deserialize)]
struct Shared<'text>(
    #[serde(borrow)] std::borrow::Cow<'text, str>,
    i64,
    CompactString,
    Vec<CompactString>,
);

/// Lineage as stored: `[["crm/contact/1",1700000000000,"own",["email","phone"]],...]`.
pub(super) fn lineage_json(lineage: &Lineage) -> Result<String, Trouble> {
    let mut shared: Vec<(&Origin, Vec<CompactString>)> = Vec::new();
    for (field, origin) in lineage {
        match shared.iter_mut().find(|(with, _)| *with == origin) {
            Some((_, fields)) => fields.push(field.0.clone()),
            None => shared.push((origin, vec![field.0.clone()])),
        }
    }
    let shared: Vec<_> = shared
        .into_iter()
        .map(|(origin, fields)| {
            Shared(
                origin.record.to_string().into(),
                origin.at.0,
                origin.rule.clone(),
                fields,
            )
        })
        .collect();
    to_json(&shared)
}

fn lineage(text: &str) -> Result<Lineage, Trouble> {
    let shared: Vec<Shared<'_>> = serde_json::from_str(text)?;
    let mut lineage = Lineage::new();
    for Shared(record, at, rule, fields) in shared {
        let record: RecordId = record
            .parse()
            .map_err(|error| Trouble::bug(format!("a stored lineage is damaged: {error}")))?;
        let origin = Origin {
            record,
            at: UnixMillis(at),
            rule,
        };
        lineage.extend(fields.into_iter().map(|field| (FieldName(field), origin.clone())));
    }
    Ok(lineage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StreamId;

    #[test]
    fn lineage_reads_back() {
        let origin = |remote: &str, at| Origin {
            record: StreamId::new("crm", "contact").record(remote),
            at: UnixMillis(at),
            rule: "own".into(),
        };
        let stored = Lineage::from([
            (FieldName::from("email"), origin("1", 5)),
            (FieldName::from("family_name"), origin("a \"quoted\" / id", 5)),
            (FieldName::from("phone"), origin("1", 5)),
            (FieldName::from("title"), origin("1", 6)),
        ]);
        let json = lineage_json(&stored).unwrap();
        assert_eq!(lineage(&json).unwrap(), stored);
        assert_eq!(json.matches("crm/contact/1\"").count(), 2, "{json}");
        assert_eq!(
            lineage(&lineage_json(&Lineage::new()).unwrap()).unwrap(),
            Lineage::new()
        );
    }
}
