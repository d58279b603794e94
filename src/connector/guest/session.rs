//! Questions to a program of our own language: look up, write. One question at a time; the program stays for the next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use serde_json::{Map, Value as Json, json};

use super::kept::Kept;
use super::problem::{failed, foul};
use super::program::Program;
use super::say::{Said, Speech};
use crate::connector::classify::{code_of, shorten};
use crate::error::{Class, Code, Failure, Problem};
use crate::model::{Done, Outcome, UnixMillis};

/// The version of our language.
pub(super) const PROTOCOL: u64 = 1;

/// A program that answers questions.
pub(super) struct Session {
    program: Program,
    speech: Speech,
    kept: Arc<Kept>,
    next: u64,
}

/// What came of a question.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The members of the answer.
    pub(super) body: Json,
    /// What was told of single rows, by the operation's id.
    pub(super) rows: BTreeMap<CompactString, Json>,
    /// Why there is no answer, or which one.
    pub(super) failure: Option<Failure>,
}

impl Session {
    /// Greets a program that was just started; it gets its settings with the greeting.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub(super) async fn greet(
        kept: Arc<Kept>,
        mut program: Program,
        speech: Speech,
        config: &Json,
    ) -> Result<Self, Failure> {
        let system = &kept.system;
        program.say(&json!({"type": "hello", "protocol": PROTOCOL, "config": config}));
        loop {
            let Some(line) = program.line().await? else {
                program.end().await?;
                return Err(failed(system, "ended without a greeting"));
            };
            match speech.hear(&line).map_err(|what| foul(system, &what))? {
                Said::Answer(ready) if ready.get("type").is_some_and(|kind| kind == "ready") => {
                    if ready.get("protocol").and_then(Json::as_u64) != Some(PROTOCOL) {
                        return Err(foul(system, "that it speaks another version of the language"));
                    }
                    break;
                }
                Said::Log(text) => tracing::debug!(%system, "{text}"),
                _ => return Err(foul(system, "something else before its greeting")),
            }
        }
        Ok(Self {
            program,
            speech,
            kept,
            next: 1,
        })
    }

    /// Asks it to read; hands the program over with the number of the question.
    pub(super) fn read(self, mut question: Json) -> (Program, u64) {
        let number = self.next;
        put(&mut question, "ask", number.into());
        self.program.say(&question);
        (self.program, number)
    }

    /// True while it has time enough for another question.
    pub(super) fn is_fresh(&self) -> bool {
        self.program.is_fresh()
    }

    /// Asks a question and waits for its answer. A program that did not answer is of no use any more.
    pub(super) async fn ask(&mut self, mut question: Json) -> Answer {
        let number = self.next;
        self.next += 1;
        put(&mut question, "ask", number.into());
        self.program.say(&question);
        let mut answer = Answer::default();
        answer.failure = self.hear_answer(number, &mut answer).await.err();
        answer
    }

    async fn hear_answer(&mut self, number: u64, into: &mut Answer) -> Result<(), Failure> {
        loop {
            let Some(line) = self.program.line().await? else {
                return Err(failed(&self.kept.system, "ended without an answer"));
            };
            match self.speech.hear(&line).map_err(|what| foul(&self.kept.system, &what))? {
                Said::Answer(body) if body.get("ask").and_then(Json::as_u64) == Some(number) => {
                    if body.get("type").is_some_and(|kind| kind == "result") {
                        let op = body.get("op").and_then(Json::as_str).unwrap_or_default().into();
                        into.rows.insert(op, body);
                        continue;
                    }
                    let failure = failure_of(&self.kept.system, &body, true);
                    into.body = body;
                    return failure.map_or(Ok(()), Err);
                }
                Said::Config(values) => {
                    self.kept.put(&values).await?;
                    confirm(&self.program, &values);
                }
                Said::Log(text) => tracing::debug!(system = %self.kept.system, "{text}"),
                _ => return Err(foul(&self.kept.system, "something that nobody asked for")),
            }
        }
    }
}

/// Confirms that settings are durable: from then on the program may use them.
pub(super) fn confirm(program: &Program, values: &Json) {
    for (name, _) in values.as_object().into_iter().flatten() {
        program.say(&json!({"type": "kept", "name": name}));
    }
}

fn put(question: &mut Json, name: &str, value: Json) {
    if let Some(question) = question.as_object_mut() {
        question.insert(name.to_owned(), value);
    }
}

/// The failure that an answer, or one row of it, tells; `None` when it tells none.
pub(super) fn failure_of(system: &str, answer: &Json, is_read: bool) -> Option<Failure> {
    let error = answer.get("error").filter(|error| !error.is_null())?;
    let class = error.get("class").cloned().unwrap_or_default();
    let Ok(class) = serde_json::from_value::<Class>(class) else {
        return Some(foul(system, "an error without a class that there is"));
    };
    let words = error.get("message").and_then(Json::as_str).unwrap_or("no reason given");
    let message = format!("the tool answered: {}", shorten(words));
    let text = |name: &str| error.get(name).and_then(Json::as_str).map(CompactString::from);
    let wait = error.get("wait_seconds").and_then(Json::as_u64);
    Some(Failure {
        wait: wait.map(Duration::from_secs),
        remote: text("id"),
        ambiguous: error.get("ambiguous").and_then(Json::as_bool).unwrap_or(false),
        ..Failure::new(class, Problem::new(code_of(class, is_read), message))
    })
}

/// What a row of an answer says of its operation.
pub(super) fn outcome_of(system: &str, row: &Json, asked: Option<&CompactString>) -> Outcome {
    if let Some(failure) = failure_of(system, row, false) {
        return Err(failure);
    }
    let text = |name: &str| row.get(name).and_then(Json::as_str).map(CompactString::from);
    let Some(remote) = text("id").or_else(|| asked.cloned()) else {
        return Err(unanswered("the program made an object and does not tell its id"));
    };
    Ok(Done {
        remote,
        updated_at: text("updated_at").and_then(|at| UnixMillis::from_rfc3339(&at)),
        version: text("version"),
        created: row
            .get("created")
            .and_then(Json::as_bool)
            .unwrap_or_else(|| asked.is_none()),
        unkept: BTreeMap::new(),
    })
}

/// What may have been carried out although nothing was heard of it.
pub(super) fn unanswered(how: &str) -> Failure {
    Failure {
        ambiguous: true,
        ..Failure::new(Class::Transient, Problem::new(Code::WriteUnanswered, how))
    }
}

/// Rows in rounds: no two of a round share one of these marks, because the second must be looked up when the first is there.
pub(super) fn rounds<T>(rows: Vec<T>, marks: impl Fn(&T) -> BTreeSet<String>) -> Vec<Vec<T>> {
    let mut rounds = Vec::new();
    let mut left = VecDeque::from(rows);
    while !left.is_empty() {
        let (mut round, mut taken, mut later) = (Vec::new(), BTreeSet::new(), VecDeque::new());
        for row in left {
            let own = marks(&row);
            if taken.is_disjoint(&own) {
                round.push(row);
            } else {
                later.push_back(row);
            }
            taken.extend(own);
        }
        rounds.push(round);
        left = later;
    }
    rounds
}

/// An empty object.
pub(super) fn nothing() -> Json {
    Json::Object(Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_about_one_object_wait_for_each_other() {
        let marks = |row: &&str| row.split(' ').map(str::to_owned).collect();
        let rounds = rounds(vec!["a b", "c", "b d", "d"], marks);
        assert_eq!(rounds, [vec!["a b", "c"], vec!["b d"], vec!["d"]]);
    }

    #[test]
    fn a_row_says_what_became_of_it() {
        let made = outcome_of("s", &json!({"id": "7", "updated_at": "2026-01-01T00:00:00Z"}), None).unwrap();
        assert_eq!((made.remote.as_str(), made.created), ("7", true));
        let silent = outcome_of("s", &json!({}), None).unwrap_err();
        assert!(silent.ambiguous, "{silent:?}");
        let changed = outcome_of("s", &json!({}), Some(&"7".into())).unwrap();
        assert!(!changed.created && changed.remote == "7");
        let refused = outcome_of(
            "s",
            &json!({"error": {"class": "exists", "message": "taken", "id": "9"}}),
            None,
        );
        let refused = refused.unwrap_err();
        assert_eq!((refused.class, refused.remote.as_deref()), (Class::Exists, Some("9")));
        let odd = outcome_of("s", &json!({"error": {"class": "odd"}}), None).unwrap_err();
        assert_eq!(odd.problem.code, Code::GuestSpeech);
    }
}
