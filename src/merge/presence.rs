//! Whether a customer is still there, as far as the tools know her of their own.

use super::rules::Rules;
use crate::model::Record;

/// True when somebody deleted her, and nobody vouches for her any more. What Nivel itself made is no evidence that she
/// exists, until somebody has worked on it.
#[must_use]
pub fn is_gone(members: &[&Record], rules: &Rules) -> bool {
    let is_mirror = |record: &Record| {
        let stream = rules.stream(&record.id.stream.system, &record.id.stream.stream);
        stream.is_some_and(|stream| stream.own)
    };
    let mut is_deleted = false;
    for record in members.iter().filter(|record| !is_mirror(record)) {
        match record.deleted_at {
            None if !record.is_made || is_worked_on(record) => return false,
            None => {}
            Some(_) => is_deleted |= !record.is_made,
        }
    }
    is_deleted
}

/// True when the tool's own users (or programs) have said something in a record that Nivel did not write.
#[must_use]
pub fn is_worked_on(record: &Record) -> bool {
    let mut fields = record.fields.0.iter();
    fields.any(|(field, value)| value.is_some() && !field.as_str().starts_with('_') && record.asserts(field.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Brake, Role, StreamRules, SystemRules};
    use crate::model::{Ours, StreamId, UnixMillis, Value};

    fn rules() -> Rules {
        let system = |own| SystemRules {
            role: Role::Sales,
            brake: Brake::default(),
            streams: [(
                "person".into(),
                StreamRules {
                    own,
                    ..StreamRules::default()
                },
            )]
            .into(),
        };
        Rules {
            systems: [("crm".into(), system(false)), ("mirror".into(), system(true))].into(),
            ..Rules::default()
        }
    }

    /// `crm` or `mirror`; `m` made by Nivel, `w` worked on since, `d` deleted.
    fn record(text: &str) -> Record {
        let (system, marks) = text.split_once(' ').unwrap_or((text, ""));
        let mut record = Record::new(StreamId::new(system, "person").record(marks), UnixMillis(1));
        record.fields.set("email", Value::Text("a@b.c".into()));
        record.is_made = marks.contains('m');
        if record.is_made && !marks.contains('w') {
            let ours = Ours {
                value: Value::text("a@b.c"),
                placeholder: false,
                own: None,
            };
            record.ours.insert("email".into(), ours);
        }
        record.deleted_at = marks.contains('d').then_some(UnixMillis(2));
        record
    }

    #[track_caller]
    fn check(members: &[&str], gone: bool) {
        let records: Vec<Record> = members.iter().map(|text| record(text)).collect();
        assert_eq!(
            is_gone(&records.iter().collect::<Vec<_>>(), &rules()),
            gone,
            "{members:?}"
        );
    }

    #[test]
    fn p52_only_who_knew_her_of_their_own_can_delete_her() {
        check(&[], false);
        check(&["crm"], false);
        check(&["crm d"], true);
        check(&["crm d", "crm m"], true);
        check(&["crm d", "crm mw"], false);
        check(&["crm d", "crm"], false);
        check(&["crm md"], false);
        check(&["crm", "crm md"], false);
        check(&["crm d", "mirror"], true);
        check(&["mirror d", "crm m"], false);
        check(&["crm m"], false);
    }
}
