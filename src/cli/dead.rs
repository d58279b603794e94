//! `nivel dead`: writes that were given up, and notes of handoffs. They wait here, with their reason, until a person decides.

use clap::{Args, Subcommand};
use compact_str::CompactString;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::frozen;
use super::output::{Exit, Show, line, table};
use super::plan::target_text;
use crate::error::{Code, Problem};
use crate::handoff::Passage;
use crate::ledger::Write;
use crate::sync::{Act, GivenUp};

#[derive(Debug, Subcommand)]
pub(super) enum Dead {
    /// List what was given up
    List(List),
    /// Show one of it: what was to be written, and the tool's own words
    Show(One),
    /// Try it again, with what is right now
    Retry(Which),
    /// Drop it; a write is made anew when the customer changes, a note is not
    Drop(Which),
    /// List fields that are frozen: they went round in circles, were not kept by the tool, or were undone
    Frozen(frozen::List),
    /// Let Nivel write a frozen field again
    Release(frozen::Release),
}

/// List what was given up
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel dead list --code OUT001")]
pub(super) struct List {
    /// Only those with this error code
    #[arg(long)]
    code: Option<String>,
}

/// Show one of it: what was to be written, and the tool's own words
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel dead show 01HZX")]
pub(super) struct One {
    /// Its id, as `nivel dead list` shows it; its beginning is enough
    id: String,
}

/// Which are meant
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel dead retry 01HZX\n  nivel dead retry --all --code OUT003")]
pub(super) struct Which {
    /// Their ids, as `nivel dead list` shows them; their beginning is enough
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// With --all: only those with this error code
    #[arg(long, requires = "all")]
    code: Option<String>,
}

impl Dead {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        match self {
            Self::List(args) => {
                let given_up = with_code(given_up(context).await?, args.code.as_deref())?;
                let exit = if given_up.is_empty() {
                    Exit::Fine
                } else {
                    Exit::Degraded
                };
                context.output.show(&Listed(given_up));
                Ok(exit)
            }
            Self::Show(args) => {
                let mut given_up = given_up(context).await?;
                let id = pick(&given_up, &args.id)?;
                given_up.keep(&[id]);
                context.output.show(&Sheet(given_up));
                Ok(Exit::Fine)
            }
            Self::Retry(args) => act(context, args, true, "due again; the next sync tries").await,
            Self::Drop(args) => act(context, args, false, "dropped").await,
            Self::Frozen(verb) => verb.run(context).await,
            Self::Release(verb) => verb.run(context).await,
        }
    }
}

async fn given_up(context: &Context) -> Result<GivenUp, Failed> {
    Ok(GivenUp::read(context.ledger()?.as_ref()).await?)
}

async fn act(context: &Context, which: Which, retry: bool, done: &str) -> Result<Exit, Failed> {
    let given_up = given_up(context).await?;
    let ids: Vec<CompactString> = if which.all {
        with_code(given_up, which.code.as_deref())?.ids().cloned().collect()
    } else {
        let ids = which.ids.iter().map(|id| pick(&given_up, id));
        ids.collect::<Result<_, _>>()?
    };
    let number = if ids.is_empty() {
        0
    } else {
        context.act(Act::Dead { ids, retry }).await?
    };
    context.output.show(&Acted {
        given_up: number,
        done: done.to_owned(),
    });
    Ok(Exit::Fine)
}

/// Notes have no code.
fn with_code(mut given_up: GivenUp, code: Option<&str>) -> Result<GivenUp, Failed> {
    if let Some(text) = code {
        let wanted = Code::from_text(text).ok_or_else(|| {
            Problem::new(Code::NotFound, format!("there is no error code `{text}`")).hint("`nivel explain` lists them")
        })?;
        let has_it = |write: &Write| write.problem.as_ref().is_some_and(|problem| problem.code == wanted);
        given_up.writes.retain(has_it);
        given_up.notes.clear();
    }
    Ok(given_up)
}

/// The whole id of the one whose id begins so; it must be one.
fn pick(given_up: &GivenUp, id: &str) -> Result<CompactString, Failed> {
    if let Some(exact) = given_up.ids().find(|known| *known == id) {
        return Ok(exact.clone());
    }
    let mut found = given_up.ids().filter(|known| !id.is_empty() && known.starts_with(id));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), Some(_)) => {
            let problem = Problem::new(
                Code::NotFound,
                format!("`{id}` begins the id of several that were given up"),
            );
            Err(problem.hint("write more of it").into())
        }
        (None, _) => {
            let problem = Problem::new(Code::NotFound, format!("nothing that was given up is called `{id}`"));
            Err(problem.hint("`nivel dead list` lists it").into())
        }
    }
}

#[derive(Serialize)]
struct Acted {
    given_up: u64,
    done: String,
}

impl Show for Acted {
    fn text(&self) -> String {
        format!("{} {}", self.given_up, self.done)
    }
}

#[derive(Serialize)]
struct Listed(GivenUp);

impl Show for Listed {
    fn text(&self) -> String {
        let GivenUp { writes, notes } = &self.0;
        if self.0.is_empty() {
            return "nothing was given up".to_owned();
        }
        let write = |write: &Write| {
            let problem = write.problem.as_ref();
            let fields: Vec<_> = write.fields.keys().map(|field| field.as_str()).collect();
            [
                write.operation.to_string(),
                target_text(&write.target),
                write.customer.to_string(),
                fields.join(", "),
                write.attempts.to_string(),
                problem.map(|problem| problem.code.to_string()).unwrap_or_default(),
                problem.map(|problem| problem.message.clone()).unwrap_or_default(),
            ]
        };
        let note = |passage: &Passage| {
            let note = passage.note.as_ref();
            [
                passage.id.to_string(),
                format!("note of {}", passage.rule),
                passage.customer.to_string(),
                String::new(),
                note.map(|note| note.attempts.to_string()).unwrap_or_default(),
                String::new(),
                note.and_then(|note| note.problem.clone()).unwrap_or_default(),
            ]
        };
        let head = ["id", "target", "customer", "fields", "tries", "code", "reason"];
        table(head, writes.iter().map(write).chain(notes.iter().map(note)))
    }
}

/// One of them.
#[derive(Serialize)]
struct Sheet(GivenUp);

impl Show for Sheet {
    fn text(&self) -> String {
        let writes = self.0.writes.iter().map(write_sheet);
        writes.chain(self.0.notes.iter().map(note_sheet)).collect()
    }
}

fn note_sheet(passage: &Passage) -> String {
    let mut text = String::new();
    let Some(note) = &passage.note else { return text };
    line(&mut text, format_args!("{}  note of {}", passage.id, passage.rule));
    line(
        &mut text,
        format_args!("for {}, given up after {}", passage.customer, tries(note.attempts)),
    );
    if let Some(problem) = &note.problem {
        line(&mut text, format_args!("\n{problem}"));
    }
    line(
        &mut text,
        "who acts: admin; a retry looks for the note first where the tool can find notes, else look there yourself",
    );
    if let Some(words) = &note.text {
        line(&mut text, format_args!("\n{words}"));
    }
    text
}

fn write_sheet(write: &Write) -> String {
    let mut text = String::new();
    line(
        &mut text,
        format_args!("{}  to {}", write.operation, target_text(&write.target)),
    );
    line(
        &mut text,
        format_args!("for {}, given up after {}", write.customer, tries(write.attempts)),
    );
    if let Some(problem) = &write.problem {
        line(&mut text, format_args!("\n{problem}"));
        line(
            &mut text,
            format_args!("who acts: {}; `nivel explain {}`", problem.who(), problem.code),
        );
    }
    if write.is_uncertain {
        line(
            &mut text,
            "it may have been made all the same; a retry looks for it first",
        );
    }
    let row = |(field, wanted): (&crate::model::FieldName, &crate::ledger::Wanted)| {
        let value = wanted
            .value
            .as_ref()
            .map_or_else(|| "(empty)".to_owned(), ToString::to_string);
        let note = if wanted.placeholder { "placeholder" } else { "" };
        [field.to_string(), value, note.to_owned()]
    };
    line(
        &mut text,
        format_args!("\n{}", table(["field", "wanted", ""], write.fields.iter().map(row))),
    );
    text
}

fn tries(number: u32) -> String {
    if number == 1 {
        "1 try".to_owned()
    } else {
        format!("{number} tries")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Slot, Target, Wanted, WriteState};
    use crate::model::{CustomerKey, Kind, StreamId, UnixMillis, Value};

    fn write(operation: &str, code: Code) -> Write {
        let wanted = Wanted {
            value: Value::text("x"),
            placeholder: false,
        };
        Write {
            target: Target {
                stream: StreamId::new("crm", "person"),
                slot: Slot::Object("7".into()),
            },
            customer: CustomerKey {
                id: uuid::Uuid::from_u128(1),
                kind: Kind::Person,
            },
            fields: [("email".into(), wanted)].into(),
            generation: 1,
            due_at: UnixMillis(0),
            attempts: 2,
            problem: Some(Problem::new(code, "email is not valid")),
            state: WriteState::Dead,
            operation: operation.into(),
            is_uncertain: false,
            run: None,
            removes_at: None,
        }
    }

    #[test]
    fn a_write_is_named_by_the_beginning_of_its_id() {
        let given_up = GivenUp {
            writes: ["ab1", "ab2", "ab"].map(|id| write(id, Code::WriteRefused)).into(),
            notes: Vec::new(),
        };
        assert_eq!(pick(&given_up, "ab1").unwrap(), "ab1");
        assert_eq!(pick(&given_up, "ab").unwrap(), "ab", "an exact id wins");
        for wrong in ["a", "", "x"] {
            assert_eq!(
                pick(&given_up, wrong).unwrap_err().problems[0].code,
                Code::NotFound,
                "{wrong}"
            );
        }
    }

    #[test]
    fn codes_choose() {
        let given_up = GivenUp {
            writes: vec![write("a", Code::WriteRefused), write("b", Code::WriteExhausted)],
            notes: Vec::new(),
        };
        let chosen = with_code(given_up.clone(), Some("out003")).unwrap();
        assert_eq!(chosen.ids().collect::<Vec<_>>(), ["b"]);
        assert!(with_code(given_up, Some("OUT999")).is_err());
    }

    #[test]
    fn a_dead_write_says_who_must_act() {
        let wanted = "\
a  to crm/person/7
for per_00000000000000000000000000000001, given up after 2 tries

OUT001: email is not valid
who acts: team; `nivel explain OUT001`

FIELD  WANTED
email  x
";
        assert_eq!(write_sheet(&write("a", Code::WriteRefused)), wanted);
    }
}
