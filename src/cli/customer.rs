//! `nivel customer`: the golden record beside its records, and where its values come from.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Failed;
use super::affiliated::{Affiliated, People, affiliated, affiliated_text, belonging, belonging_text};
use super::app::Context;
use super::decided::{Merge, Pin, Split};
use super::erase::{Certificate, Erase, Erasures, Export};
use super::history::history_row;
use super::output::{Exit, Show, count, line, table, wide_table};
use super::past::{Past, moment};
use super::plan::target_text;
use super::sync::state_word;
use super::timeline::Timeline;
use super::why::Why;
use crate::error::{Code, Problem};
use crate::ledger::{Ask, ChangeRow, Ledger, View, Write};
use crate::model::{Customer as Person, CustomerKey, FieldName, Fields, Record, RecordId, UnixMillis, Value};

/// How many customers a search shows.
const MATCHES_MAX: usize = 50;
/// The longest cell of a table that compares records.
const CELL_MAX: usize = 40;

#[derive(Debug, Subcommand)]
pub(super) enum Customer {
    /// Show a customer beside the records it is made of
    Show(ShowArgs),
    /// Say where a customer's values come from, by which rule, and instead of what
    Why(Why),
    /// Show what happened with a customer in all tools, in one list
    Timeline(Timeline),
    /// Make two customers one, for ever
    Merge(Merge),
    /// Take records away from a customer: they are somebody else, for ever
    Split(Split),
    /// Confirm a customer: her records stay together, for ever
    Pin(Pin),
    /// Give out everything Nivel knows of a customer, as JSON
    Export(Export),
    /// Erase a person in every tool and in the ledger, for good
    Erase(Erase),
    /// List erasures and how far they are
    Erasures(Erasures),
    /// Certify an erasure: what, where, when, and what the tool answered
    Certificate(Certificate),
}

/// Show a customer beside the records it is made of
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel customer show ana@example.com\n  nivel customer show crm/person/4711")]
pub(super) struct ShowArgs {
    /// A customer key, a record (system/stream/id), an e-mail, a phone number, or any text
    who: String,
    /// As she was then: a time (2026-01-31T12:00:00Z) or a day
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<UnixMillis>,
    /// How many lines of the history to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    history: usize,
}

impl Customer {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        match self {
            Self::Show(args) => args.run(context).await,
            Self::Why(verb) => verb.run(context).await,
            Self::Timeline(verb) => verb.run(context).await,
            Self::Merge(verb) => verb.run(context).await,
            Self::Split(verb) => verb.run(context).await,
            Self::Pin(verb) => verb.run(context).await,
            Self::Export(verb) => verb.run(context).await,
            Self::Erase(verb) => verb.run(context).await,
            Self::Erasures(verb) => verb.run(context).await,
            Self::Certificate(verb) => verb.run(context).await,
        }
    }
}

impl ShowArgs {
    async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let ledger = context.ledger()?;
        match find(ledger.as_ref(), &self.who).await? {
            Matches::One(key) => {
                let view = view_of(ledger.as_ref(), key).await?;
                if let Some(at) = self.at {
                    let live = view.aliases.get(&key).copied().unwrap_or(key);
                    let golden = view.customers.get(&live).map(|customer| customer.golden.clone());
                    let trail = ledger.changes(&live, usize::MAX).await?;
                    context
                        .output
                        .show(&Past::of(live, &golden.unwrap_or_default(), &trail, at)?);
                    return Ok(Exit::Fine);
                }
                let history = ledger.changes(&key, self.history).await?;
                let organizations = affiliated(ledger.as_ref(), &view, key).await?;
                let people = belonging(ledger.as_ref(), &view, key).await?;
                let sheet = Sheet::new(key, view, history)?;
                context.output.show(&Sheet {
                    organizations,
                    people,
                    ..sheet
                });
            }
            Matches::Several(customers) => context.output.show(&Several(customers)),
        }
        Ok(Exit::Fine)
    }
}

/// Who was meant.
pub(super) enum Matches {
    One(CustomerKey),
    Several(Vec<Match>),
}

/// Finds customers by key, record, identifier or text. Finding nobody is a problem.
pub(super) async fn find(ledger: &dyn Ledger, who: &str) -> Result<Matches, Failed> {
    if let Ok(key) = who.parse::<CustomerKey>() {
        return match ledger.customer(&key).await? {
            Some(customer) => Ok(Matches::One(customer.key)),
            None => Err(nobody(who).into()),
        };
    }
    if let Ok(id) = who.parse::<RecordId>()
        && let Some(Some(head)) = ledger.heads(std::slice::from_ref(&id)).await?.pop()
    {
        return Ok(Matches::One(head.customer));
    }
    let keys = ledger.search(who, MATCHES_MAX).await?;
    if let [key] = keys.as_slice() {
        return Ok(Matches::One(*key));
    }
    let mut matches = Vec::new();
    for key in keys {
        matches.extend(ledger.customer(&key).await?.map(Match::from));
    }
    if matches.is_empty() {
        Err(nobody(who).into())
    } else {
        Ok(Matches::Several(matches))
    }
}

/// The one customer who was meant.
pub(super) async fn the_one(ledger: &dyn Ledger, who: &str) -> Result<CustomerKey, Failed> {
    match find(ledger, who).await? {
        Matches::One(key) => Ok(key),
        Matches::Several(_) => {
            let problem = Problem::new(Code::NotFound, format!("`{who}` is more than one customer"));
            let hint = format!("`nivel customer show {who}` lists them; name one by its key");
            Err(problem.hint(hint).into())
        }
    }
}

fn nobody(who: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no customer `{who}`"))
        .hint("name a key (per_…), a record (system/stream/id), an e-mail, a phone number or part of a name")
}

/// Everything the ledger knows about one customer.
pub(super) async fn view_of(ledger: &dyn Ledger, key: CustomerKey) -> Result<View, Failed> {
    let ask = Ask {
        customers: [key].into(),
        ..Ask::default()
    };
    Ok(ledger.view(ask).await?)
}

/// One customer of several that were found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Match {
    key: CustomerKey,
    golden: Fields,
}

impl From<Person> for Match {
    fn from(customer: Person) -> Self {
        Self {
            key: customer.key,
            golden: customer.golden,
        }
    }
}

#[derive(Serialize)]
struct Several(Vec<Match>);

impl Show for Several {
    fn text(&self) -> String {
        let say = |golden: &Fields, fields: &[&str]| {
            let values = fields
                .iter()
                .filter_map(|field| golden.value(field))
                .map(Value::to_string);
            values.collect::<Vec<_>>().join(" ")
        };
        let row = |found: &Match| {
            let name = say(&found.golden, &["full_name"]);
            let name = if name.is_empty() {
                say(&found.golden, &["given_name", "family_name", "name"])
            } else {
                name
            };
            [
                found.key.to_string(),
                name,
                say(&found.golden, &["email"]),
                say(&found.golden, &["phone"]),
            ]
        };
        let mut text = table(["customer", "name", "email", "phone"], self.0.iter().map(row));
        if self.0.len() == MATCHES_MAX {
            line(
                &mut text,
                format_args!("\n… the first {MATCHES_MAX}; say more of what you look for"),
            );
        }
        text
    }
}

/// A customer with all that belongs to it.
#[derive(Clone, Debug, Serialize)]
struct Sheet {
    key: CustomerKey,
    golden: Fields,
    lineage: crate::model::Lineage,
    /// The organizations that she belongs to, the surest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    organizations: Vec<Affiliated>,
    /// Who belongs to it, of an organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<People>,
    records: Vec<RecordSheet>,
    writes: Vec<Write>,
    history: Vec<ChangeRow>,
}

#[derive(Clone, Debug, Serialize)]
struct RecordSheet {
    id: RecordId,
    fields: Fields,
    /// Fields whose value Nivel wrote.
    ours: BTreeSet<FieldName>,
    updated_at: Option<UnixMillis>,
    deleted_at: Option<UnixMillis>,
    problem: Option<Problem>,
}

impl From<Record> for RecordSheet {
    fn from(record: Record) -> Self {
        let is_ours = |field: &&FieldName| !record.asserts(field.as_str());
        Self {
            ours: record.ours.keys().filter(is_ours).cloned().collect(),
            id: record.id,
            fields: record.fields,
            updated_at: record.updated_at,
            deleted_at: record.deleted_at,
            problem: record.problem,
        }
    }
}

impl Sheet {
    fn new(key: CustomerKey, mut view: View, history: Vec<ChangeRow>) -> Result<Self, Failed> {
        let key = view.aliases.get(&key).copied().unwrap_or(key);
        let customer = view.customers.remove(&key).ok_or_else(|| nobody(&key.to_string()))?;
        let records = view.records.into_values().filter(|(_, holder)| *holder == key);
        Ok(Self {
            key,
            golden: customer.golden,
            lineage: customer.lineage,
            organizations: Vec::new(),
            people: None,
            records: records.map(|(record, _)| record.into()).collect(),
            writes: view
                .writes
                .into_values()
                .filter(|write| write.customer == key)
                .collect(),
            history,
        })
    }

    fn fields(&self) -> BTreeSet<&FieldName> {
        let records = self.records.iter().flat_map(|record| record.fields.0.keys());
        // What a connector keeps for its own use (`_raw`) is nobody's field.
        let is_shown = |field: &&FieldName| !field.as_str().starts_with('_');
        records.chain(self.golden.0.keys()).filter(is_shown).collect()
    }

    fn cell(&self, record: &RecordSheet, field: &FieldName) -> String {
        let value = cell_text(&record.fields, field);
        let is_origin = self.lineage.get(field).is_some_and(|origin| origin.record == record.id);
        let mark = match (is_origin, record.ours.contains(field)) {
            (true, _) => " *",
            (false, true) => " '",
            (false, false) => "",
        };
        format!("{value}{mark}")
    }
}

/// A value for a cell: `·` when the field was emptied, nothing when it was never filled.
pub(super) fn cell_text(fields: &Fields, field: &FieldName) -> String {
    let Some(value) = fields.0.get(field) else {
        return String::new();
    };
    let text = value.as_ref().map_or_else(|| "·".to_owned(), ToString::to_string);
    if text.chars().count() <= CELL_MAX {
        return text;
    }
    let start: String = text.chars().take(CELL_MAX - 1).collect();
    format!("{start}…")
}

impl Show for Sheet {
    fn text(&self) -> String {
        let records = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        let mut text = format!("{}  {}\n\n", self.key, count(records, "record"));
        let mut head = vec!["field".to_owned(), "customer".to_owned()];
        head.extend(self.records.iter().map(|record| record.id.to_string()));
        let rows = self.fields().into_iter().map(|field| {
            let mut row = vec![field.to_string(), cell_text(&self.golden, field)];
            row.extend(self.records.iter().map(|record| self.cell(record, field)));
            row
        });
        line(&mut text, wide_table(head, rows));
        line(
            &mut text,
            "\n* the customer's value comes from here   ' written by Nivel   · emptied",
        );
        text.push_str(&affiliated_text(&self.organizations));
        text.extend(self.people.as_ref().map(belonging_text));
        for record in &self.records {
            if let Some(at) = record.deleted_at {
                line(&mut text, format_args!("{} was deleted there at {at}", record.id));
            }
            if let Some(problem) = &record.problem {
                line(&mut text, format_args!("{}: {problem}", record.id));
            }
        }
        for write in &self.writes {
            let fields: Vec<_> = write.fields.keys().map(FieldName::as_str).collect();
            let problem = write
                .problem
                .as_ref()
                .map(|problem| format!(": {problem}"))
                .unwrap_or_default();
            let target = target_text(&write.target);
            let state = state_word(write.state);
            line(
                &mut text,
                format_args!("write to {target} is {state} ({}){problem}", fields.join(", ")),
            );
        }
        if !self.history.is_empty() {
            let rows = self.history.iter().map(history_row);
            line(&mut text, format_args!("\n{}", table(["when", "where", "what"], rows)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Cause, Change, What};
    use crate::model::{Kind, Origin, Ours, StreamId};

    fn sheet() -> Sheet {
        let key = CustomerKey {
            id: uuid::Uuid::from_u128(1),
            kind: Kind::Person,
        };
        let text = |text: &str| Value::Text(text.into());
        let mut crm = Record::new(StreamId::new("crm", "person").record("7"), UnixMillis(0));
        crm.fields = Fields::from([("email", text("ana@example.com")), ("phone", text("+358 1"))]);
        let mut desk = Record::new(StreamId::new("desk", "user").record("9"), UnixMillis(0));
        desk.fields = Fields::from([("email", text("ana@example.com"))]);
        desk.fields.0.insert("phone".into(), None);
        let ours = Ours {
            value: Some(text("ana@example.com")),
            placeholder: false,
            own: None,
        };
        desk.ours.insert("email".into(), ours);
        let origin = Origin {
            record: crm.id.clone(),
            at: UnixMillis(0),
            rule: "own".into(),
        };
        let customer = Person {
            key,
            golden: crm.fields.clone(),
            lineage: [("email".into(), origin.clone()), ("phone".into(), origin)].into(),
            version: 1,
            merged_into: None,
        };
        let mut view = View::default();
        for record in [crm, desk] {
            view.records.insert(record.id.clone(), (record, key));
        }
        view.customers.insert(key, customer);
        let change = Change {
            customer: key,
            record: Some(StreamId::new("crm", "person").record("7")),
            what: What::Fields([("phone".into(), (None, Some(text("+358 1"))))].into()),
        };
        let row = ChangeRow {
            at: UnixMillis(0),
            cause: Cause::Run(1),
            change,
        };
        Sheet::new(key, view, vec![row]).unwrap()
    }

    #[test]
    fn the_golden_record_stands_beside_its_records() {
        let wanted = "\
per_00000000000000000000000000000001  2 records

FIELD  CUSTOMER         CRM/PERSON/7       DESK/USER/9
email  ana@example.com  ana@example.com *  ana@example.com '
phone  +358 1           +358 1 *           ·

* the customer's value comes from here   ' written by Nivel   · emptied

WHEN                  WHERE         WHAT
1970-01-01T00:00:00Z  crm/person/7  phone: (empty) → +358 1
";
        assert_eq!(sheet().text(), wanted);
    }

    #[test]
    fn a_customer_that_is_not_in_the_view_is_told() {
        let failed = Sheet::new(sheet().key, View::default(), Vec::new()).unwrap_err();
        assert_eq!(failed.problems[0].code, Code::NotFound);
    }
}
