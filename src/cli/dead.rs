//! `nivel dead`: writes that were given up. They wait here, with their reason, until a person decides.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::frozen;
use super::output::{Exit, Show, count, line, table};
use super::plan::target_text;
use crate::error::{Code, Problem};
use crate::ledger::{Cause, Commit, Ledger, Target, Write, WriteChange, WriteState};

/// Writes are read from the ledger in pages of this size.
const PAGE: usize = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Dead {
    /// List dead writes
    List(List),
    /// Show one dead write: its fields and the tool's own words
    Show(One),
    /// Try dead writes again, with what is right now
    Retry(Which),
    /// Drop dead writes; they are made anew when the customer changes
    Drop(Which),
    /// List fields that are frozen: they went round in circles, were not kept by the tool, or were undone
    Frozen(frozen::List),
    /// Let Nivel write a frozen field again
    Release(frozen::Release),
}

/// List dead writes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel dead list --code OUT001")]
pub(super) struct List {
    /// Only those with this error code
    #[arg(long)]
    code: Option<String>,
}

/// Show one dead write: its fields and the tool's own words
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel dead show 01HZX")]
pub(super) struct One {
    /// The write's id, as `nivel dead list` shows it; its beginning is enough
    id: String,
}

/// Which dead writes are meant
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel dead retry 01HZX\n  nivel dead retry --all --code OUT003")]
pub(super) struct Which {
    /// The writes' ids, as `nivel dead list` shows them; their beginning is enough
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
        let ledger = match self {
            Self::Frozen(verb) => return verb.run(context).await,
            Self::Release(verb) => return verb.run(context).await,
            Self::List(_) | Self::Show(_) => context.ledger()?,
            Self::Retry(_) | Self::Drop(_) => context.ledger_to_change()?,
        };
        let ledger = ledger.as_ref();
        match self {
            Self::List(args) => {
                let writes = with_code(dead(ledger).await?, args.code.as_deref())?;
                let exit = if writes.is_empty() { Exit::Fine } else { Exit::Degraded };
                context.output.show(&Writes(writes));
                Ok(exit)
            }
            Self::Show(args) => {
                let writes = dead(ledger).await?;
                context.output.show(&Sheet(pick(&writes, &args.id)?.clone()));
                Ok(Exit::Fine)
            }
            Self::Retry(args) => {
                let now = context.clock.now();
                let again = |write: Write| WriteChange::Put(write.anew(now));
                act(context, ledger, args, "due again; the next sync tries", again).await
            }
            Self::Frozen(_) | Self::Release(_) => Ok(Exit::Fine),
            Self::Drop(args) => {
                let drop = |write: Write| WriteChange::RemoveGeneration(write.target, write.generation);
                act(context, ledger, args, "dropped", drop).await
            }
        }
    }
}

async fn act(
    context: &Context,
    ledger: &dyn Ledger,
    which: Which,
    done: &str,
    change: impl Fn(Write) -> WriteChange,
) -> Result<Exit, Failed> {
    let writes = dead(ledger).await?;
    let chosen = if which.all {
        with_code(writes, which.code.as_deref())?
    } else {
        let mut chosen: Vec<Write> = Vec::new();
        for id in &which.ids {
            let write = pick(&writes, id)?;
            if !chosen.contains(write) {
                chosen.push(write.clone());
            }
        }
        chosen
    };
    let number = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
    let cause = Cause::Operator(context.operator().into());
    let mut commit = Commit::new(cause, context.clock.now());
    commit.writes = chosen.into_iter().map(change).collect();
    ledger.apply(commit).await?;
    context.output.show(&Acted {
        writes: number,
        done: done.to_owned(),
    });
    Ok(Exit::Fine)
}

async fn dead(ledger: &dyn Ledger) -> Result<Vec<Write>, Failed> {
    let mut all = Vec::new();
    let mut after: Option<Target> = None;
    loop {
        let page = ledger.writes(&[WriteState::Dead], after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.target.clone());
        all.extend(page);
    }
}

fn with_code(mut writes: Vec<Write>, code: Option<&str>) -> Result<Vec<Write>, Failed> {
    if let Some(text) = code {
        let wanted = Code::from_text(text).ok_or_else(|| {
            Problem::new(Code::NotFound, format!("there is no error code `{text}`")).hint("`nivel explain` lists them")
        })?;
        writes.retain(|write| write.problem.as_ref().is_some_and(|problem| problem.code == wanted));
    }
    Ok(writes)
}

/// The write whose id begins so; it must be one.
fn pick<'a>(writes: &'a [Write], id: &str) -> Result<&'a Write, Failed> {
    let exact = writes.iter().find(|write| write.operation == id);
    if let Some(write) = exact {
        return Ok(write);
    }
    let mut found = writes
        .iter()
        .filter(|write| !id.is_empty() && write.operation.starts_with(id));
    match (found.next(), found.next()) {
        (Some(write), None) => Ok(write),
        (Some(_), Some(_)) => {
            let problem = Problem::new(Code::NotFound, format!("`{id}` begins the id of several dead writes"));
            Err(problem.hint("write more of it").into())
        }
        (None, _) => {
            let problem = Problem::new(Code::NotFound, format!("there is no dead write `{id}`"));
            Err(problem.hint("`nivel dead list` lists them").into())
        }
    }
}

#[derive(Serialize)]
struct Acted {
    writes: u64,
    done: String,
}

impl Show for Acted {
    fn text(&self) -> String {
        format!("{} {}", count(self.writes, "write"), self.done)
    }
}

#[derive(Serialize)]
struct Writes(Vec<Write>);

impl Show for Writes {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "no dead writes".to_owned();
        }
        let row = |write: &Write| {
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
        let head = ["id", "target", "customer", "fields", "tries", "code", "reason"];
        table(head, self.0.iter().map(row))
    }
}

#[derive(Serialize)]
struct Sheet(Write);

impl Show for Sheet {
    fn text(&self) -> String {
        let write = &self.0;
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
    use crate::ledger::{Slot, Wanted};
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
        let writes = [
            write("ab1", Code::WriteRefused),
            write("ab2", Code::WriteRefused),
            write("ab", Code::WriteRefused),
        ];
        assert_eq!(pick(&writes, "ab1").unwrap().operation, "ab1");
        assert_eq!(pick(&writes, "ab").unwrap().operation, "ab", "an exact id wins");
        for wrong in ["a", "", "x"] {
            assert_eq!(
                pick(&writes, wrong).unwrap_err().problems[0].code,
                Code::NotFound,
                "{wrong}"
            );
        }
    }

    #[test]
    fn codes_choose() {
        let writes = vec![write("a", Code::WriteRefused), write("b", Code::WriteExhausted)];
        let chosen = with_code(writes.clone(), Some("out003")).unwrap();
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].operation, "b");
        assert!(with_code(writes, Some("OUT999")).is_err());
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
        assert_eq!(Sheet(write("a", Code::WriteRefused)).text(), wanted);
    }
}
