//! HubSpot's search: filters, one sort, an offset, and the ceiling of 10,000 rows (VENDORS.md A1.4).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::clock::parse_ms;
use super::super::store::{Object, Store};
use super::super::wire::{Ask, Page, Reply};
use super::kinds::Kind;
use super::{Hubspot, Reject, paging};

const LIMIT_MAX: usize = 200;
const CEILING: usize = 10_000;
const BODY_MAX: usize = 3_000;

/// An object as the index sees it.
struct Seen<'a> {
    id: u64,
    created_ms: i64,
    updated_ms: i64,
    body: &'a Arc<Value>,
}

enum Field {
    Id,
    Created,
    Updated,
    Property(String),
}

#[derive(Clone, Copy)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Between,
    In,
    NotIn,
    Has,
    HasNot,
    Token,
    NoToken,
}

struct Filter {
    field: Field,
    operator: Operator,
    value: String,
    number: Option<i64>,
    high: Option<i64>,
    values: Vec<String>,
}

struct Query {
    groups: Vec<Vec<Filter>>,
    sort: Option<(String, bool)>,
    limit: usize,
    offset: usize,
    wanted: Vec<String>,
}

impl Hubspot {
    pub(super) fn search(&self, kind: &Kind, store: &Store, ask: &Ask) -> Reply {
        let query = match self.query(kind, ask) {
            Ok(query) => query,
            Err(message) => return Reject::invalid(message).reply(),
        };
        let here = ask
            .json()
            .and_then(|body| body.get("after").and_then(number_text))
            .unwrap_or_else(|| "0".to_owned());
        let (total, found) = if query.sort.is_none() {
            walk(store, ask, &query)
        } else {
            sorted(store, ask, &query)
        };
        let (rows, rest) = found.split_at(query.limit.min(found.len()));
        let end = query.offset + rows.len();
        let mut extra = Map::new();
        extra.insert("total".to_owned(), Value::from(total));
        Reply::page(Page {
            key: "results",
            edge: rows.last().map(|seen| seen.id).zip(rest.first().map(|seen| seen.id)),
            rows: rows
                .iter()
                .map(|seen| Arc::new(kind.row(seen.body, None, &query.wanted)))
                .collect(),
            next: (end < total).then(|| end.to_string()),
            // An offset with a zero before it is the same offset.
            again: format!("0{here}"),
            here,
            extra,
            envelope: paging,
        })
    }

    fn query(&self, kind: &Kind, ask: &Ask) -> Result<Query, String> {
        if ask.body.len() > BODY_MAX {
            return Err(format!(
                "request body is too long: {} of {BODY_MAX} characters",
                ask.body.len()
            ));
        }
        let body = ask.json().ok_or("Invalid input JSON")?;
        let list = |name: &str| body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let limit = body
            .get("limit")
            .map_or(Some(10), |limit| limit.as_u64().and_then(|n| usize::try_from(n).ok()));
        let limit = limit
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| format!("limit must be at most {LIMIT_MAX}"))?;
        let offset = match body.get("after") {
            None | Some(Value::Null) => 0,
            Some(after) => number_text(after)
                .and_then(|text| text.parse::<usize>().ok())
                .ok_or("after must be an integer")?,
        };
        if offset + limit > CEILING {
            return Err(format!("paging past {CEILING} results is not possible"));
        }
        let mut groups = Vec::new();
        for group in list("filterGroups") {
            let filters = group
                .get("filters")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            groups.push(
                filters
                    .iter()
                    .map(|filter| self.filter(kind, filter))
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
        if groups.len() > 5
            || groups.iter().any(|group| group.len() > 6)
            || groups.iter().map(Vec::len).sum::<usize>() > 18
        {
            return Err("at most 5 filterGroups, 6 filters each, 18 in all".to_owned());
        }
        let properties = list("properties")
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        Ok(Query {
            groups,
            sort: sort(kind, &list("sorts"))?,
            limit,
            offset,
            wanted: kind.wanted(Some(properties)),
        })
    }

    fn filter(&self, kind: &Kind, filter: &Value) -> Result<Filter, String> {
        let text = |name: &str| filter.get(name).and_then(number_text).unwrap_or_default();
        let name = text("propertyName");
        if !self.knows(kind, &name) {
            return Err(format!(
                "There was a problem with the request: property {name} does not exist"
            ));
        }
        let field = match name.as_str() {
            "hs_object_id" => Field::Id,
            name if name == kind.created => Field::Created,
            name if name == kind.modified => Field::Updated,
            _ => Field::Property(name),
        };
        let operator = match text("operator").as_str() {
            "EQ" => Operator::Equal,
            "NEQ" => Operator::Unequal,
            "LT" => Operator::Less,
            "LTE" => Operator::LessOrEqual,
            "GT" => Operator::Greater,
            "GTE" => Operator::GreaterOrEqual,
            "BETWEEN" => Operator::Between,
            "IN" => Operator::In,
            "NOT_IN" => Operator::NotIn,
            "HAS_PROPERTY" => Operator::Has,
            "NOT_HAS_PROPERTY" => Operator::HasNot,
            "CONTAINS_TOKEN" => Operator::Token,
            "NOT_CONTAINS_TOKEN" => Operator::NoToken,
            other => return Err(format!("operator {other} is not valid")),
        };
        let value = text("value").to_lowercase();
        let number = parse_ms(&text("value"));
        if number.is_none()
            && !matches!(field, Field::Property(_))
            && !matches!(
                operator,
                Operator::In | Operator::NotIn | Operator::Has | Operator::HasNot
            )
        {
            return Err(format!("{value} is not a number or a time"));
        }
        let values = filter.get("values").and_then(Value::as_array).into_iter().flatten();
        let values = values.filter_map(number_text).map(|text| text.to_lowercase()).collect();
        Ok(Filter {
            field,
            operator,
            value,
            number,
            high: parse_ms(&text("highValue")),
            values,
        })
    }
}

fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// One sort; by id upwards is the order of the store and needs no sorting.
fn sort(kind: &Kind, sorts: &[Value]) -> Result<Option<(String, bool)>, String> {
    if sorts.len() > 1 {
        return Err("only one sort is allowed".to_owned());
    }
    let Some(sort) = sorts.first() else { return Ok(None) };
    let name = sort
        .as_str()
        .or_else(|| sort.get("propertyName").and_then(Value::as_str))
        .ok_or("a sort needs a propertyName")?;
    let down = sort.get("direction").and_then(Value::as_str) == Some("DESCENDING");
    // Both times have one name here.
    let name = match name {
        name if name == kind.created => "createdate",
        name if name == kind.modified => "lastmodifieddate",
        name => name,
    };
    Ok((name != "hs_object_id" || down).then(|| (name.to_owned(), down)))
}

/// Matches in id order; only the page and one row more are kept.
fn walk<'a>(store: &'a Store, ask: &Ask, query: &Query) -> (usize, Vec<Seen<'a>>) {
    let mut total = 0;
    let mut found = Vec::new();
    for object in store.objects.range(first_id(query)..).map(|(_, object)| object) {
        let Some(seen) = seen(object, ask, query) else { continue };
        if total >= query.offset && found.len() <= query.limit {
            found.push(seen);
        }
        total += 1;
    }
    (total, found)
}

fn sorted<'a>(store: &'a Store, ask: &Ask, query: &Query) -> (usize, Vec<Seen<'a>>) {
    let mut found: Vec<Seen<'a>> = store
        .objects
        .values()
        .filter_map(|object| seen(object, ask, query))
        .collect();
    let total = found.len();
    if let Some((name, down)) = &query.sort {
        found.sort_by_cached_key(|seen| match name.as_str() {
            "lastmodifieddate" => (seen.updated_ms, String::new(), seen.id),
            "createdate" => (seen.created_ms, String::new(), seen.id),
            "hs_object_id" => (0, String::new(), seen.id),
            _ => (0, property(seen.body, name).to_owned(), seen.id),
        });
        if *down {
            found.reverse();
        }
    }
    (
        total,
        found.into_iter().skip(query.offset).take(query.limit + 1).collect(),
    )
}

/// With one group, `hs_object_id GT n` lets the walk start behind n.
fn first_id(query: &Query) -> u64 {
    let [group] = query.groups.as_slice() else { return 0 };
    let floors = group.iter().filter(|filter| {
        matches!(
            (&filter.field, filter.operator),
            (Field::Id, Operator::Greater | Operator::GreaterOrEqual)
        )
    });
    floors
        .filter_map(|filter| filter.number)
        .filter_map(|number| u64::try_from(number).ok())
        .max()
        .unwrap_or_default()
}

/// The object, when the index shows it and the filters let it through. Archived objects never come (A1.4).
fn seen<'a>(object: &'a Object, ask: &Ask, query: &Query) -> Option<Seen<'a>> {
    if !object.is_live() {
        return None;
    }
    let (body, updated_ms) = object.indexed(ask.now_ms, ask.lag_ms)?;
    let seen = Seen {
        id: object.id,
        created_ms: object.created_ms,
        updated_ms,
        body,
    };
    let passes = query.groups.is_empty()
        || query
            .groups
            .iter()
            .any(|group| group.iter().all(|filter| fits(filter, &seen)));
    passes.then_some(seen)
}

fn property<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn fits(filter: &Filter, seen: &Seen<'_>) -> bool {
    match &filter.field {
        Field::Id => fits_number(filter, i64::try_from(seen.id).unwrap_or(i64::MAX)),
        Field::Created => fits_number(filter, seen.created_ms),
        Field::Updated => fits_number(filter, seen.updated_ms),
        Field::Property(name) => fits_text(filter, &property(seen.body, name).to_lowercase()),
    }
}

fn fits_number(filter: &Filter, value: i64) -> bool {
    let with = filter.number.unwrap_or_default();
    match filter.operator {
        Operator::Equal => value == with,
        Operator::Unequal => value != with,
        Operator::Less => value < with,
        Operator::LessOrEqual => value <= with,
        Operator::Greater => value > with,
        Operator::GreaterOrEqual => value >= with,
        Operator::Between => value >= with && filter.high.is_some_and(|high| value <= high),
        Operator::In => filter.values.iter().any(|text| parse_ms(text) == Some(value)),
        Operator::NotIn => !filter.values.iter().any(|text| parse_ms(text) == Some(value)),
        Operator::Has => true,
        Operator::HasNot | Operator::Token | Operator::NoToken => false,
    }
}

fn fits_text(filter: &Filter, value: &str) -> bool {
    let is_textual = matches!(
        filter.operator,
        Operator::In | Operator::NotIn | Operator::HasNot | Operator::Token | Operator::NoToken
    );
    if let (Some(number), Some(_), false) = (value.parse::<i64>().ok(), filter.number, is_textual) {
        return fits_number(filter, number);
    }
    let has_token = || {
        value
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == filter.value.trim_matches('*'))
            || value == filter.value
    };
    match filter.operator {
        Operator::Equal => value == filter.value,
        Operator::Unequal => value != filter.value,
        Operator::Less => !value.is_empty() && value < filter.value.as_str(),
        Operator::LessOrEqual => !value.is_empty() && value <= filter.value.as_str(),
        Operator::Greater => value > filter.value.as_str(),
        Operator::GreaterOrEqual => !value.is_empty() && value >= filter.value.as_str(),
        Operator::Between => false,
        Operator::In => filter.values.iter().any(|text| text == value),
        Operator::NotIn => !filter.values.iter().any(|text| text == value),
        Operator::Has => !value.is_empty(),
        Operator::HasNot => value.is_empty(),
        Operator::Token => value.split([';', ',', ' ']).any(|word| word == filter.value) || has_token(),
        Operator::NoToken => !has_token(),
    }
}
