//! The condition of a rule: an expression over golden fields, one kind of activity, `changed(field)` and
//! `missing('system', 'field', days)`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use compact_str::CompactString;
use regex::{Captures, Regex};
use serde_json::{Map, Value as Json, json};

use crate::manifest::{Context, Template};
use crate::model::{FieldName, Fields, Value};

/// A condition is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadWhen {
    /// What is wrong.
    pub message: String,
    /// The name that leads nowhere and those there are, when that is it.
    pub unknown: Option<(String, Vec<String>)>,
}

/// The names a condition may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Fields of customers.
    pub fields: BTreeSet<FieldName>,
    /// Fields of each kind of activity.
    pub activities: BTreeMap<CompactString, BTreeSet<FieldName>>,
    /// Fields that each system maps.
    pub systems: BTreeMap<CompactString, BTreeSet<FieldName>>,
}

/// Data that is recorded and not used: a field that a customer has, and that her record in a system has not had for so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The system whose record lacks it.
    pub system: CompactString,
    /// The field.
    pub field: FieldName,
    /// For how long.
    pub after: Duration,
}

/// A condition, ready for use.
#[derive(Clone, Debug)]
pub struct When {
    text: CompactString,
    template: Template,
    fields: BTreeSet<FieldName>,
    changed: BTreeSet<FieldName>,
    missing: Vec<Missing>,
    activity: Option<(CompactString, BTreeSet<FieldName>)>,
}

impl PartialEq for When {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for When {}

static CHANGED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\bchanged\(\s*['\x22]?(\w+)['\x22]?\s*\)").ok());
static MISSING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\bmissing\(\s*['\x22]([\w-]+)['\x22]\s*,\s*['\x22](\w+)['\x22]\s*,\s*(\d+)\s*\)").ok()
});

const DAY: Duration = Duration::from_hours(24);

impl When {
    /// Reads a condition.
    ///
    /// # Errors
    /// When it is not an expression, or uses a name there is not.
    pub fn read(text: &str, words: &Words) -> Result<Self, BadWhen> {
        let (mut changed, mut missing) = (BTreeSet::new(), Vec::new());
        let plain = replace(&CHANGED, text, |found| {
            changed.insert(FieldName::from(&found[1]));
            format!("changed.{}", &found[1])
        });
        let plain = replace(&MISSING, &plain, |found| {
            let days: u32 = found[3].parse().unwrap_or(u32::MAX);
            missing.push(Missing {
                system: found[1].into(),
                field: FieldName::from(&found[2]),
                after: DAY.saturating_mul(days),
            });
            format!("missing.m{}", missing.len() - 1)
        });
        let template = Template::compile(&format!("{{{{ {plain} }}}}")).map_err(|error| BadWhen {
            message: format!("`when` is not a condition: {}", error.why),
            unknown: None,
        })?;
        let mut when = Self {
            text: text.into(),
            fields: BTreeSet::new(),
            activity: None,
            template,
            changed,
            missing,
        };
        when.resolve(words)?;
        when.test_words(words)?;
        Ok(when)
    }

    /// Finds out what each name is.
    fn resolve(&mut self, words: &Words) -> Result<(), BadWhen> {
        for name in self.template.names() {
            let (first, member) = name
                .split_once('.')
                .map_or((name.as_str(), None), |(a, b)| (a, Some(b)));
            match first {
                "changed" | "missing" if member.is_some() => continue,
                "changed" => return Err(simple("write `changed(FIELD)`")),
                "missing" => return Err(simple("write `missing('SYSTEM', 'FIELD', DAYS)`")),
                _ => {}
            }
            if let Some(fields) = words.activities.get(first) {
                let member = member.and_then(|member| member.split('.').next());
                if let Some(member) = member.filter(|member| !fields.contains(*member)) {
                    let all = fields.iter().map(|field| format!("{first}.{field}")).collect();
                    return Err(unknown(&format!("{first}.{member}"), all));
                }
                let (known, used) = self.activity.get_or_insert_with(|| (first.into(), BTreeSet::new()));
                if *known != first {
                    return Err(simple(&format!(
                        "`when` speaks of both `{known}` and `{first}`: one rule looks at one kind of activity"
                    )));
                }
                used.extend(member.map(FieldName::from));
            } else if words.fields.contains(first) {
                self.fields.insert(FieldName::from(first));
            } else {
                let fields = words.fields.iter().map(ToString::to_string);
                let activities = words.activities.keys().map(ToString::to_string);
                return Err(unknown(first, fields.chain(activities).collect()));
            }
        }
        Ok(())
    }

    fn test_words(&self, words: &Words) -> Result<(), BadWhen> {
        let names = |fields: &BTreeSet<FieldName>| fields.iter().map(ToString::to_string).collect::<Vec<_>>();
        if let Some(field) = self.changed.iter().find(|field| !words.fields.contains(*field)) {
            return Err(unknown(field.as_str(), names(&words.fields)));
        }
        for Missing { system, field, .. } in &self.missing {
            let Some(fields) = words.systems.get(system) else {
                return Err(unknown(system, words.systems.keys().map(ToString::to_string).collect()));
            };
            if !fields.contains(field) {
                return Err(unknown(field.as_str(), names(fields)));
            }
        }
        Ok(())
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The kind of activity it looks at, if it does.
    #[must_use]
    pub fn activity(&self) -> Option<&str> {
        self.activity.as_ref().map(|(name, _)| name.as_str())
    }

    /// The fields whose change it waits for. With one of them it is true for a moment only.
    #[must_use]
    pub fn changed(&self) -> &BTreeSet<FieldName> {
        &self.changed
    }

    /// The data whose absence it waits for.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Is it true? A comparison that cannot be made is not. `is_missing` answers [`Self::missing`], in that order.
    #[must_use]
    pub fn holds(
        &self,
        golden: &Fields,
        changed: &BTreeMap<FieldName, (Option<Value>, Option<Value>)>,
        is_missing: &[bool],
        activity: Option<&Fields>,
    ) -> bool {
        let mut context = Context::new();
        for field in &self.fields {
            context.set(field.as_str(), &json_of(golden.value(field.as_str())));
        }
        if !self.changed.is_empty() {
            let entry = |field: &FieldName| (field.to_string(), Json::Bool(changed.contains_key(field)));
            context.set("changed", &Json::Object(self.changed.iter().map(entry).collect()));
        }
        if !is_missing.is_empty() {
            let entries = is_missing.iter().enumerate();
            let entries: Map<String, Json> = entries.map(|(at, is)| (format!("m{at}"), json!(is))).collect();
            context.set("missing", &Json::Object(entries));
        }
        if let Some((name, used)) = &self.activity {
            let Some(fields) = activity else { return false };
            let entry = |field: &FieldName| (field.to_string(), json_of(fields.value(field.as_str())));
            context.set(name, &Json::Object(used.iter().map(entry).collect()));
        }
        self.template.render_value(&context).is_ok_and(|value| match value {
            Json::Bool(is) => is,
            Json::String(text) => !text.is_empty(),
            Json::Null => false,
            _ => true,
        })
    }
}

fn replace(pattern: &LazyLock<Option<Regex>>, text: &str, with: impl FnMut(&Captures<'_>) -> String) -> String {
    match &**pattern {
        Some(pattern) => pattern.replace_all(text, with).into_owned(),
        None => text.to_owned(),
    }
}

fn simple(message: &str) -> BadWhen {
    BadWhen {
        message: message.to_owned(),
        unknown: None,
    }
}

fn unknown(name: &str, known: Vec<String>) -> BadWhen {
    BadWhen {
        message: format!("`when` speaks of `{name}`, which there is not"),
        unknown: Some((name.to_owned(), known)),
    }
}

fn json_of(value: Option<&Value>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Text(text)) => json!(text),
        Some(Value::Bool(flag)) => json!(flag),
        Some(Value::Int(number)) => json!(number),
        Some(Value::Time(at)) => json!(at.0),
        Some(Value::Set(items)) => json!(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let names = |all: &[&str]| all.iter().map(|name| FieldName::from(*name)).collect::<BTreeSet<_>>();
        Words {
            fields: names(&["email", "lifecycle", "owner", "score", "tags"]),
            activities: [
                ("deal".into(), names(&["status", "amount"])),
                ("ticket".into(), names(&["status"])),
            ]
            .into(),
            systems: [("sales".into(), names(&["email", "owner"]))].into(),
        }
    }

    #[track_caller]
    fn bad(text: &str, message: &str) {
        let error = When::read(text, &words()).unwrap_err();
        assert!(error.message.contains(message), "{text}: {}", error.message);
    }

    #[test]
    fn a_name_that_leads_nowhere_is_told() {
        bad("lifecyle == 'x'", "`lifecyle`");
        bad("deal.stauts == 'won'", "`deal.stauts`");
        bad("changed(ownr)", "`ownr`");
        bad("missing('sale', 'email', 3)", "`sale`");
        bad("missing('sales', 'phone', 3)", "`phone`");
        bad("missing(sales, email, 3)", "missing('SYSTEM', 'FIELD', DAYS)");
        bad("changed", "changed(FIELD)");
        bad(
            "deal.status == 'won' and ticket.status == 'new'",
            "one kind of activity",
        );
        bad("lifecycle ==", "not a condition");
        bad("lifecycle = 'x'", "not a condition");
        bad("range(9)", "`range`");
    }

    #[track_caller]
    fn check(text: &str, expected: bool) {
        let golden = Fields::from([
            ("lifecycle", Value::Text("qualified".into())),
            ("score", Value::Int(7)),
            ("tags", Value::Set(["vip".into()].into())),
        ]);
        let deal = Fields::from([("status", Value::Text("won".into())), ("amount", Value::Int(100))]);
        let changed = [(FieldName::from("owner"), (None, Value::text("7")))].into();
        let when = When::read(text, &words()).unwrap();
        let activity = when.activity().map(|_| &deal);
        assert_eq!(when.holds(&golden, &changed, &[true], activity), expected, "{text}");
    }

    #[test]
    fn conditions() {
        check("lifecycle == 'qualified'", true);
        check("lifecycle != 'qualified'", false);
        check("lifecycle in ['lead', 'qualified'] and score > 5", true);
        check("'vip' in tags", true);
        check("email", false);
        check("not email", true);
        check("email > 5", false);
        check("deal.status == 'won' and deal.amount >= 100", true);
        check("deal.status == 'won' and deal.amount > 100", false);
        check("changed(owner)", true);
        check("changed(email) or changed( 'owner' )", true);
        check("changed(email)", false);
        check("missing('sales', 'email', 30)", true);
        check("missing('sales','email',30) and not score", false);
    }
}
