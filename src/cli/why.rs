//! `nivel customer why`: which record a value comes from, by which rule, and what the others say.

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::affiliated::{Affiliated, affiliated, affiliated_text};
use super::app::Context;
use super::customer::{the_one, view_of};
use super::joined::{Apart, joints, path_text};
use super::output::{Exit, Show, line, table};
use crate::config::{Specs, did_you_mean};
use crate::error::{Code, Problem};
use crate::ledger::{Ledger, View};
use crate::merge::{FieldRule, OnClear, Pick, Survivorship, candidates};
use crate::model::{CustomerKey, FieldName, Origin, Record, RecordId, UnixMillis, Value};
use crate::sync::Act;
use crate::sync::matching::evidence::Path;

/// Say where a customer's values come from, by which rule, and instead of what
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  nivel customer why ana@example.com\n  nivel customer why ana@example.com phone\n  \
nivel customer why crm/person/7 desk/user/9"
)]
pub(super) struct Why {
    /// A customer key, a record (system/stream/id), an e-mail, a phone number, or any text
    who: String,
    /// Only this field, with everybody who has a say in it; or another customer: why the two are apart
    what: Option<String>,
}

impl Why {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        // Who wins is a matter of roles and field rules alone; what the tools can do does not come into it.
        let rules = crate::config::rules(&config, &Specs::new());
        let ledger = context.ledger()?;
        let key = the_one(ledger.as_ref(), &self.who).await?;
        let what = self.what.as_deref();
        if let Some(other) = what.filter(|text| is_somebody(text)) {
            let other_key = the_one(ledger.as_ref(), other).await?;
            if other_key != key {
                let left = first_record(ledger.as_ref(), &self.who, key).await?;
                let right = first_record(ledger.as_ref(), other, other_key).await?;
                drop(ledger);
                let pair = context.act(Act::WhyApart { left, right }).await?;
                context.output.show(&Apart(pair));
                return Ok(Exit::Fine);
            }
        }
        let view = view_of(ledger.as_ref(), key).await?;
        let organizations = affiliated(ledger.as_ref(), &view, key).await?;
        drop(ledger);
        let field = what.filter(|text| !is_somebody(text));
        let mut reasons = reasons(key, &view, &Survivorship::new(&rules), field)?;
        if field.is_none() {
            reasons.organizations = organizations;
            reasons.joined = Some(joints(context, &view, &rules, reasons.key).await?);
        }
        context.output.show(&reasons);
        Ok(Exit::Fine)
    }
}

/// No field is called so.
fn is_somebody(text: &str) -> bool {
    text.contains(['/', '@']) || text.parse::<CustomerKey>().is_ok()
}

/// The record that was named, or the customer's first.
async fn first_record(ledger: &dyn Ledger, who: &str, key: CustomerKey) -> Result<RecordId, Failed> {
    let view = view_of(ledger, key).await?;
    let named = who.parse::<RecordId>().ok().filter(|id| view.records.contains_key(id));
    let live = view.records.iter().find(|(_, (record, _))| record.deleted_at.is_none());
    let first = live.or_else(|| view.records.iter().next()).map(|(id, _)| id.clone());
    let nobody = || Problem::new(Code::NotFound, format!("`{who}` has no record")).into();
    named.or(first).ok_or_else(nobody)
}

/// Where the values of a customer come from.
#[derive(Clone, Debug, Serialize)]
struct Reasons {
    key: CustomerKey,
    fields: Vec<Reason>,
    /// What makes her records one customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    joined: Option<Path>,
    /// The organizations that she belongs to, the surest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    organizations: Vec<Affiliated>,
    /// True when one field was asked for, so that all candidates are shown.
    #[serde(skip)]
    is_single: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Reason {
    field: FieldName,
    value: Option<Value>,
    origin: Option<Origin>,
    rule: String,
    says: Vec<Say>,
}

/// What one record says about a field.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Say {
    record: RecordId,
    value: Option<Value>,
    at: UnixMillis,
    /// False when the value stands there because Nivel wrote it.
    asserted: bool,
    deleted: bool,
    /// False for a stand-in such as `n/a`, which never wins over silence.
    believed: bool,
}

fn reasons(key: CustomerKey, view: &View, rules: &Survivorship, field: Option<&str>) -> Result<Reasons, Failed> {
    let key = view.aliases.get(&key).copied().unwrap_or(key);
    let Some(customer) = view.customers.get(&key) else {
        return Err(Problem::new(Code::NotFound, format!("there is no customer `{key}`")).into());
    };
    let members: Vec<&Record> = view
        .records
        .values()
        .filter(|(_, holder)| *holder == key)
        .map(|(record, _)| record)
        .collect();
    let known: Vec<&FieldName> = customer.golden.0.keys().collect();
    let wanted: Vec<FieldName> = match field {
        None => known.into_iter().cloned().collect(),
        Some(name) if members.iter().any(|record| record.fields.0.contains_key(name)) => vec![name.into()],
        Some(name) if customer.golden.0.contains_key(name) => vec![name.into()],
        Some(name) => {
            let hint = did_you_mean(name, known.into_iter().map(FieldName::as_str));
            let problem = Problem::new(Code::NotFound, format!("nobody says anything about `{name}`"));
            return Err(problem.about(key).hint(hint).into());
        }
    };
    let reason = |field: FieldName| {
        let ranked = rules.of(field.as_str());
        let believed = candidates(&members, &field, &ranked.ranks);
        // Also those who are not believed: a value that stands in a tool and is nowhere else must be explained, too.
        let mut says: Vec<Say> = members
            .iter()
            .filter_map(|record| {
                Some(Say {
                    record: record.id.clone(),
                    value: record.fields.0.get(&field)?.clone(),
                    at: record.observed.of(field.as_str()),
                    asserted: record.asserts(field.as_str()),
                    deleted: record.deleted_at.is_some(),
                    believed: believed.iter().any(|candidate| candidate.record.id == record.id),
                })
            })
            .collect();
        let rank = |say: &Say| {
            ranked
                .ranks
                .get(&say.record.stream.system)
                .copied()
                .unwrap_or(usize::MAX)
        };
        says.sort_by_key(|say| (rank(say), say.record.clone()));
        Reason {
            value: customer.golden.0.get(&field).cloned().flatten(),
            origin: customer.lineage.get(&field).cloned(),
            rule: rule_text(&ranked.rule),
            says,
            field,
        }
    };
    Ok(Reasons {
        key,
        fields: wanted.into_iter().map(reason).collect(),
        joined: None,
        organizations: Vec::new(),
        is_single: field.is_some(),
    })
}

/// A rule as the config would say it.
fn rule_text(rule: &FieldRule) -> String {
    let pick = match &rule.pick {
        Pick::Own(systems) => format!("own: {}", systems.join(", ")),
        Pick::Newest(systems) if systems.is_empty() => "newest".to_owned(),
        Pick::Newest(systems) => format!("newest: {}", systems.join(", ")),
        Pick::Longest | Pick::Union => rule.pick.name().to_owned(),
    };
    match rule.on_clear {
        OnClear::Ignore => pick,
        OnClear::Propagate => format!("{pick}; on_clear: propagate"),
        OnClear::Restore => format!("{pick}; on_clear: restore"),
    }
}

fn value_text(value: Option<&Value>) -> String {
    value.map_or_else(|| "(empty)".to_owned(), ToString::to_string)
}

impl Show for Reasons {
    fn text(&self) -> String {
        if let (true, [reason]) = (self.is_single, self.fields.as_slice()) {
            return reason.text(self.key);
        }
        let row = |reason: &Reason| {
            let origin = reason.origin.as_ref();
            [
                reason.field.to_string(),
                value_text(reason.value.as_ref()),
                origin.map(|origin| origin.record.to_string()).unwrap_or_default(),
                origin.map(|origin| origin.at.to_string()).unwrap_or_default(),
                reason.rule.clone(),
            ]
        };
        let head = ["field", "value", "from", "since", "rule"];
        let fields = table(head, self.fields.iter().map(row));
        let joined = self.joined.as_ref().map(path_text).unwrap_or_default();
        let organizations = affiliated_text(&self.organizations);
        format!("{}\n\n{fields}\n\n{organizations}{joined}", self.key)
    }
}

impl Reason {
    fn text(&self, key: CustomerKey) -> String {
        let mut text = String::new();
        line(
            &mut text,
            format_args!("{key}  {} = {}\n", self.field, value_text(self.value.as_ref())),
        );
        match &self.origin {
            Some(origin) => {
                line(&mut text, format_args!("from  {}, since {}", origin.record, origin.at));
                line(&mut text, format_args!("rule  {}\n", self.rule));
            }
            None => line(
                &mut text,
                format_args!("no value survived under the rule  {}\n", self.rule),
            ),
        }
        let row = |say: &Say| {
            let how = match say {
                Say { deleted: true, .. } => "record deleted there",
                Say { believed: false, .. } => "a stand-in, not believed",
                Say { asserted: false, .. } => "written by Nivel",
                _ => "",
            };
            [
                say.record.to_string(),
                value_text(say.value.as_ref()),
                say.at.to_string(),
                how.to_owned(),
            ]
        };
        line(
            &mut text,
            table(["record", "says", "since", ""], self.says.iter().map(row)),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Role, Rules, SystemRules};
    use crate::model::{Customer, Fields, Kind, Observed, StreamId};

    fn fixture() -> (CustomerKey, View, Survivorship) {
        let key = CustomerKey {
            id: uuid::Uuid::from_u128(1),
            kind: Kind::Person,
        };
        let record = |system: &str, phone: &str, at: i64| {
            let mut record = Record::new(StreamId::new(system, "person").record("1"), UnixMillis(at));
            record.fields = Fields::from([("phone", Value::Text(phone.into()))]);
            record.observed = Observed::all_at(UnixMillis(at));
            record
        };
        let records = [
            record("crm", "+358503719284", 0),
            record("desk", "+358409162753", 1000),
            record("news", "n/a", 2000),
        ];
        let rules = Rules {
            systems: [("crm", Role::Sales), ("desk", Role::Support), ("news", Role::Marketing)]
                .map(|(name, role)| {
                    let streams = std::collections::BTreeMap::new();
                    let brake = crate::merge::Brake::default();
                    (name.into(), SystemRules { role, brake, streams })
                })
                .into(),
            ..Rules::default()
        };
        let survivorship = Survivorship::new(&rules);
        let golden = crate::merge::survive(&records.iter().collect::<Vec<_>>(), &survivorship);
        let customer = Customer {
            key,
            golden: golden.fields,
            lineage: golden.lineage,
            version: 1,
            merged_into: None,
        };
        let mut view = View::default();
        view.customers.insert(key, customer);
        for record in records {
            view.records.insert(record.id.clone(), (record, key));
        }
        (key, view, survivorship)
    }

    #[test]
    fn a_field_explains_itself() {
        let (key, view, rules) = fixture();
        let wanted = "\
per_00000000000000000000000000000001  phone = +358503719284

from  crm/person/1, since 1970-01-01T00:00:00Z
rule  own: crm, desk, news

RECORD         SAYS           SINCE
crm/person/1   +358503719284  1970-01-01T00:00:00Z
desk/person/1  +358409162753  1970-01-01T00:00:01Z
news/person/1  n/a            1970-01-01T00:00:02Z  a stand-in, not believed
";
        assert_eq!(reasons(key, &view, &rules, Some("phone")).unwrap().text(), wanted);
        let all = reasons(key, &view, &rules, None).unwrap().text();
        assert!(
            all.contains("phone  +358503719284  crm/person/1  1970-01-01T00:00:00Z  own: crm, desk, news"),
            "{all}"
        );
    }

    #[test]
    fn a_wrong_field_is_told_with_the_nearest() {
        let (key, view, rules) = fixture();
        let failed = reasons(key, &view, &rules, Some("fone")).unwrap_err();
        assert_eq!(failed.problems[0].hint, "did you mean `phone`?");
    }
}
