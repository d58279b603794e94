//! The note that the next person finds: what it says, and how far it is.

use std::fmt::Write as _;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::passage::Passage;
use super::rule::NoteKind;
use crate::model::{Activity, FieldName, UnixMillis, Value};

/// How far a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteState {
    /// It is to be written.
    Due,
    /// It was sent, and nobody knows whether it arrived: it is looked up before it is sent again.
    Sent,
    /// It stands there.
    Written,
    /// It is not tried any more.
    GivenUp,
}

/// The note of a passage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it tells.
    pub kind: NoteKind,
    /// How far it is.
    pub state: NoteState,
    /// What it says; fixed before it is first sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its id in the tool, where that tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<CompactString>,
    /// Tries so far.
    #[serde(default)]
    pub attempts: u32,
    /// When it may be tried (again), or when it was written.
    pub at: UnixMillis,
    /// What last went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Note {
    /// A note that is to be written.
    #[must_use]
    pub fn new(kind: NoteKind, at: UnixMillis) -> Self {
        Self {
            kind,
            state: NoteState::Due,
            text: None,
            remote: None,
            attempts: 0,
            at,
            problem: None,
        }
    }

    /// The same, due at once and with all its tries before it: somebody says that the cause is gone. It may stand there
    /// already, so it is looked for first.
    #[must_use]
    pub fn anew(self, now: UnixMillis) -> Self {
        Self {
            state: NoteState::Sent,
            attempts: 0,
            at: now,
            ..self
        }
    }

    /// True while somebody has to do something about it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, NoteState::Due | NoteState::Sent)
    }
}

/// By this text a note is found again.
#[must_use]
pub fn marker(passage: &Passage) -> String {
    format!("[nivel {}]", passage.id)
}

/// The most activities that a note tells of.
const ACTIVITIES_MAX: usize = 10;

/// The words of a note. The last line is its marker.
#[must_use]
pub fn compose(passage: &Passage, kind: NoteKind, activities: &[&Activity], passages: &[&Passage]) -> String {
    let mut text = format!("Handed over by {}\n", passage.rule);
    for (field, (old, new)) in &passage.changed {
        let _infallible = writeln!(text, "{}", change(field, old.as_ref(), new.as_ref()));
    }
    let mut told: Vec<&Activity> = activities
        .iter()
        .copied()
        .filter(|activity| activity.deleted_at.is_none() && (kind == NoteKind::Timeline || is_open(activity)))
        .collect();
    told.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    for activity in told.iter().take(ACTIVITIES_MAX) {
        let day: String = activity.at.to_string().chars().take(10).collect();
        let status = activity.fields.text("status").unwrap_or("-");
        let _infallible = writeln!(text, "{day} {} {}: {status}", activity.id.stream, activity.title());
    }
    if told.len() > ACTIVITIES_MAX {
        let _infallible = writeln!(text, "and {} older ones", told.len() - ACTIVITIES_MAX);
    }
    for other in passages
        .iter()
        .filter(|other| other.id != passage.id && other.state.is_pending())
    {
        let _infallible = writeln!(text, "not arrived yet: {}", other.rule);
    }
    text.push_str(&marker(passage));
    text
}

fn change(field: &FieldName, old: Option<&Value>, new: Option<&Value>) -> String {
    let text = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), ToString::to_string);
    format!("{field}: {} → {}", text(old), text(new))
}

/// Deals and tickets that nobody has brought to an end, as far as their status tells.
fn is_open(activity: &Activity) -> bool {
    const ENDED: [&str; 6] = ["won", "lost", "solved", "closed", "resolved", "rejected"];
    activity
        .fields
        .text("status")
        .is_none_or(|status| !ENDED.contains(&status))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::passage::State;
    use super::*;
    use crate::model::{CustomerKey, Fields, Kind, StreamId};

    fn passage(id: &str, state: State) -> Passage {
        Passage {
            id: id.into(),
            rule: "owner-change".into(),
            customer: CustomerKey {
                id: uuid::Uuid::from_u128(1),
                kind: Kind::Person,
            },
            activity: None,
            opened_at: UnixMillis(0),
            due_at: UnixMillis(1),
            state,
            was_there: false,
            changed: [("owner".into(), (Value::text("7"), None))].into(),
            stop: None,
            proof: None,
            delivered_at: None,
            accepted: None,
            note: None,
            lapsed_at: None,
        }
    }

    fn deal(id: &str, status: &str, day: i64) -> Activity {
        let said = [("status", status), ("subject", id)];
        Activity {
            id: StreamId::new("crm", "deal").record(id),
            holders: BTreeSet::new(),
            fields: Fields(
                said.map(|(name, text)| (name.into(), Value::text(text)))
                    .into_iter()
                    .collect::<BTreeMap<_, _>>(),
            ),
            at: UnixMillis(day * 86_400_000),
            updated_at: None,
            seen_at: UnixMillis(0),
            deleted_at: None,
        }
    }

    #[test]
    fn a_note_tells_what_changed_and_what_is_open_and_can_be_found_again() {
        let passage = passage("h1", State::Open);
        let (other, done) = (
            self::passage("h2", State::Stopped),
            self::passage("h3", State::Accepted),
        );
        let (old, new, won) = (deal("Old", "open", 1), deal("New", "open", 2), deal("Won", "won", 3));
        let passages = [&passage, &other, &done];
        let text = compose(&passage, NoteKind::OpenItems, &[&old, &won, &new], &passages);
        let expected = "Handed over by owner-change\nowner: 7 → -\n1970-01-03 crm/deal New: open\n1970-01-02 crm/deal Old: open\n\
                        not arrived yet: owner-change\n[nivel h1]";
        assert_eq!(text, expected);
        assert!(compose(&passage, NoteKind::Timeline, &[&won], &passages).contains("Won: won"));
        let many: Vec<Activity> = (0..13).map(|day| deal("x", "open", day)).collect();
        let text = compose(&passage, NoteKind::Timeline, &many.iter().collect::<Vec<_>>(), &[]);
        assert!(
            text.contains("and 3 older ones") && text.ends_with(&marker(&passage)),
            "{text}"
        );
    }
}
