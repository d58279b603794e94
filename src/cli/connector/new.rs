//! `nivel connector new`: a manifest to begin with, from answers, flags, or an OpenAPI description.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::super::Failed;
use super::super::app::Context;
use super::super::output::{Exit, Show, line};
use crate::error::{Code, Problem};
use crate::fault;
use crate::manifest::draft::{self, Draft, DraftField, Login, Pages, Way};
use crate::manifest::{Manifest, lint};

/// Draft a connector of your own: a manifest to go on from
#[derive(Debug, Args)]
#[command(
    after_help = "Asks for what is missing when a terminal is there. What was guessed is marked `# unverified`.\n\n\
Example:\n  nivel connector new acme --openapi acme.yaml\n  \
nivel connector new acme --base https://api.acme.example/v1 --login header:x-api-key --list /people --records data --id id \\\n    \
--page skip:offset --size limit=100 --modified updated_at --since updated_since --field email=mail --field full_name=name"
)]
pub(in crate::cli) struct New {
    /// The connector's name: small letters, digits and dashes
    name: String,
    /// An OpenAPI 3 or Swagger 2 description, JSON or YAML
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// The list in that description, when another one is wanted than the one that looks most like people
    #[arg(long, value_name = "PATH", requires = "openapi")]
    path: Option<String>,
    /// The address before every path
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    /// How requests are authenticated: bearer, basic or header:NAME
    #[arg(long, value_name = "HOW")]
    login: Option<String>,
    /// A cheap request that proves address and credential
    #[arg(long, value_name = "PATH")]
    check: Option<String>,
    /// What one object is called: person, contact, card
    #[arg(long, value_name = "WORD")]
    object: Option<String>,
    /// The path that lists the objects
    #[arg(long, value_name = "PATH")]
    list: Option<String>,
    /// Where the objects are in the answer; left out when the answer is the list
    #[arg(long, value_name = "PATH")]
    records: Option<String>,
    /// Where an object's id is
    #[arg(long, value_name = "PATH")]
    id: Option<String>,
    /// How the next page is asked for: number:PARAM, skip:PARAM, token:PARAM:PATH or url:PATH
    #[arg(long, value_name = "HOW")]
    page: Option<String>,
    /// The parameter for the size of a page, and the size
    #[arg(long, value_name = "PARAM=N")]
    size: Option<String>,
    /// Where the time of the last change is, and how it is written: PATH, PATH:s or PATH:ms
    #[arg(long, value_name = "PATH")]
    modified: Option<String>,
    /// The parameter that asks only for what changed since
    #[arg(long, value_name = "PARAM")]
    since: Option<String>,
    /// The parameter of the list that looks an e-mail up
    #[arg(long, value_name = "PARAM")]
    find: Option<String>,
    /// The path that gives one object, with {id}
    #[arg(long, value_name = "PATH")]
    get: Option<String>,
    /// How an object is made: 'POST /people'
    #[arg(long, value_name = "REQUEST")]
    create: Option<String>,
    /// How it is changed: 'PATCH /people/{id}'
    #[arg(long, value_name = "REQUEST")]
    update: Option<String>,
    /// The member of a request's body that holds the object
    #[arg(long, value_name = "NAME")]
    inside: Option<String>,
    /// A field: canonical name and where the tool has it, with a type if it is not text: phone=tel:phone
    #[arg(long, value_name = "NAME=PATH")]
    field: Vec<String>,
    /// The folder of your connectors, instead of what `connectors_dir` says
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl New {
    pub(in crate::cli) fn run(mut self, context: &Context) -> Result<Exit, Failed> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(is_name) {
            return Err(refused("a connector's name is made of small letters, digits and dashes").into());
        }
        let configured = context.connectors_dir()?;
        let root = self
            .dir
            .take()
            .or_else(|| configured.clone())
            .unwrap_or_else(|| "connectors".into());
        let folder = root.join(&self.name);
        if folder.exists() {
            return Err(refused("this connector is there already")
                .about(folder.display())
                .into());
        }
        let mut draft = match &self.openapi {
            Some(file) => described(&self.name, file, self.path.as_deref(), context)?,
            None => {
                self.ask(context)?;
                Draft::default()
            }
        };
        draft.name.clone_from(&self.name);
        self.fill(&mut draft).map_err(refused)?;
        let text = draft::manifest(&draft);
        let place = folder.join("manifest.yaml");
        let manifest = Manifest::parse(&place.display().to_string(), &text).map_err(Failed::usage)?;
        let tests = draft::tests(&draft);
        write(
            &folder,
            &[("manifest.yaml", text.as_str()), ("tests.yaml", tests.as_str())],
        )?;
        let made = Made {
            connector: self.name,
            files: ["manifest.yaml", "tests.yaml"].map(|name| folder.join(name)).to_vec(),
            look_at: lint(&manifest),
            dir: configured.is_none().then_some(root),
        };
        context.output.show(&made);
        Ok(Exit::Fine)
    }

    /// Asks for what nobody can do without; only when somebody is there to answer.
    fn ask(&mut self, context: &Context) -> Result<(), Failed> {
        let is_missing = self.base.is_none() || self.list.is_none() || self.field.is_empty();
        if !is_missing {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            let problem = refused("`--base`, `--list` and `--field` are missing, and nobody is there to be asked");
            return Err(problem.hint("or `--openapi FILE`").into());
        }
        let answers = [
            (
                &mut self.base,
                "The address before every path, such as https://api.example.com/v1",
            ),
            (
                &mut self.login,
                "How requests are authenticated: bearer, basic or header:NAME [bearer]",
            ),
            (&mut self.list, "The path that lists the people, such as /people"),
            (
                &mut self.records,
                "Where the list is in the answer, such as data [the answer itself]",
            ),
            (&mut self.id, "Where an object's id is [id]"),
            (
                &mut self.page,
                "The next page: number:PARAM, skip:PARAM, token:PARAM:PATH, url:PATH [one page]",
            ),
            (&mut self.modified, "Where the time of the last change is [none]"),
            (&mut self.since, "The parameter that asks for what changed since [none]"),
        ];
        for (answer, question) in answers {
            if answer.is_none() {
                *answer = asked(context, question)?;
            }
        }
        if self.field.is_empty() {
            let fields = asked(
                context,
                "Fields as NAME=PATH, with spaces between: email=mail full_name=name phone=tel:phone",
            )?;
            self.field = fields
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect();
        }
        Ok(())
    }

    /// What was said by flags or answers goes before what a description says.
    fn fill(&self, draft: &mut Draft) -> Result<(), String> {
        self.name_places(draft);
        if let Some(login) = &self.login {
            draft.login = login_of(login)?;
        }
        if let Some(page) = &self.page {
            draft.pages = pages_of(page)?;
        }
        if let Some(size) = &self.size {
            let (parameter, number) = size.split_once('=').ok_or("`--size` is PARAM=N")?;
            let number = number.parse().map_err(|_error| "`--size` is PARAM=N")?;
            draft.size = Some((parameter.to_owned(), number));
        }
        for (to, from) in [(&mut draft.create, &self.create), (&mut draft.update, &self.update)] {
            if let Some(request) = from {
                let (method, path) = request.split_once(' ').ok_or("a request is written 'POST /people'")?;
                *to = Some(Way {
                    method: method.to_ascii_uppercase(),
                    path: with_id(path.trim()),
                    inside: self.inside.clone(),
                });
            }
        }
        self.map(draft)
    }

    fn name_places(&self, draft: &mut Draft) {
        let set = |to: &mut String, from: &Option<String>| {
            if let Some(text) = from {
                to.clone_from(text);
            }
        };
        set(&mut draft.base, &self.base);
        set(&mut draft.list, &self.list);
        set(&mut draft.records, &self.records);
        set(&mut draft.object, &self.object);
        set(&mut draft.id, &self.id);
        set(&mut draft.check, &self.check);
        for (empty, default) in [(&mut draft.id, "id"), (&mut draft.object, "person")] {
            if empty.is_empty() {
                default.clone_into(empty);
            }
        }
        if draft.check.is_empty() {
            draft.check.clone_from(&draft.list);
        }
        if draft.doc.is_empty() {
            draft.doc = format!("{} (drafted)", self.name);
        }
        if let Some(modified) = &self.modified {
            let (path, format) = modified.rsplit_once(':').unwrap_or((modified, "rfc3339"));
            draft.modified = Some((path.to_owned(), format.to_owned()));
        }
        draft.since = self.since.clone().or_else(|| draft.since.take());
        draft.find = self.find.clone().or_else(|| draft.find.take());
        draft.get = self.get.as_deref().map(with_id).or_else(|| draft.get.take());
    }

    fn map(&self, draft: &mut Draft) -> Result<(), String> {
        for field in self.field.iter().rev() {
            let (name, place) = field.split_once('=').ok_or("`--field` is NAME=PATH")?;
            let (to, kind) = place.rsplit_once(':').unwrap_or((place, ""));
            let kind = if kind.is_empty() && matches!(name, "email" | "phone") {
                name
            } else {
                kind
            };
            draft.fields.retain(|known| known.name != name);
            draft.fields.insert(
                0,
                DraftField {
                    name: name.to_owned(),
                    to: to.to_owned(),
                    kind: kind.to_owned(),
                },
            );
        }
        Ok(())
    }
}

/// `{id}` as manifests write it.
fn with_id(path: &str) -> String {
    path.replace("{id}", "{{ id }}")
}

fn refused(why: impl Into<String>) -> Problem {
    Problem::new(Code::DraftRefused, why)
}

fn asked(context: &Context, question: &str) -> Result<Option<String>, Failed> {
    let mut answer = String::new();
    context.output.note(question);
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| refused(format!("the answer cannot be read: {error}")))?;
    let answer = answer.trim();
    Ok((!answer.is_empty()).then(|| answer.to_owned()))
}

fn described(name: &str, file: &Path, path: Option<&str>, context: &Context) -> Result<Draft, Failed> {
    let problem = |why: String| refused(why).about(file.display());
    let text = std::fs::read_to_string(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let proposal = draft::propose(name, &text, path).map_err(problem)?;
    if !proposal.others.is_empty() {
        let others = proposal.others.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
        context.output.note(format_args!(
            "took {}; there are also {others} (--path)",
            proposal.draft.list
        ));
    }
    Ok(proposal.draft)
}

fn login_of(text: &str) -> Result<Login, String> {
    match (text, text.strip_prefix("header:")) {
        ("bearer", _) => Ok(Login::Bearer),
        ("basic", _) => Ok(Login::Basic),
        (_, Some(name)) if !name.is_empty() => Ok(Login::Header(name.to_owned())),
        _ => Err("`--login` is bearer, basic or header:NAME".to_owned()),
    }
}

fn pages_of(text: &str) -> Result<Pages, String> {
    let (way, rest) = text.split_once(':').unwrap_or((text, ""));
    match (way, rest.split_once(':')) {
        ("number", None) if !rest.is_empty() => Ok(Pages::Number(rest.to_owned())),
        ("skip", None) if !rest.is_empty() => Ok(Pages::Skip(rest.to_owned())),
        ("url", None) if !rest.is_empty() => Ok(Pages::Url(rest.to_owned())),
        ("token", Some((to, from))) => Ok(Pages::Token(to.to_owned(), from.to_owned())),
        _ => Err("`--page` is number:PARAM, skip:PARAM, token:PARAM:PATH or url:PATH".to_owned()),
    }
}

/// Writes files into a folder of their own; an old one of that name is replaced.
pub(super) fn write(folder: &Path, files: &[(&str, &str)]) -> Result<(), Failed> {
    let trouble = |error: std::io::Error| refused(format!("cannot be written: {error}")).about(folder.display());
    fault::effect_blocking("file", || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for (name, text) in files {
            let part = folder.join(format!("{name}.part"));
            std::fs::write(&part, text)?;
            std::fs::rename(&part, folder.join(name))?;
        }
        Ok(())
    })
    .map_err(std::io::Error::other)
    .and_then(|written| written)
    .map_err(trouble)?;
    Ok(())
}

#[derive(Serialize)]
struct Made {
    connector: String,
    files: Vec<PathBuf>,
    /// What the linter says about it.
    look_at: Vec<Problem>,
    /// What `connectors_dir` should say, when it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<PathBuf>,
}

impl Show for Made {
    fn text(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            line(&mut text, format_args!("made {}", file.display()));
        }
        for problem in &self.look_at {
            line(
                &mut text,
                format_args!("look at {}: {}", problem.subject, problem.message),
            );
        }
        if let Some(dir) = &self.dir {
            line(
                &mut text,
                format_args!("write `connectors_dir: {}` into your config", dir.display()),
            );
        }
        line(
            &mut text,
            format_args!(
                "go on with `nivel lint {}`, then `nivel connector try SYSTEM`",
                self.files
                    .first()
                    .and_then(|file| file.parent())
                    .unwrap_or_else(|| Path::new("."))
                    .display()
            ),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_flags_are_read_strictly() {
        assert_eq!(login_of("header:x-key"), Ok(Login::Header("x-key".into())));
        assert!(login_of("header:").is_err() && login_of("token").is_err());
        assert_eq!(
            pages_of("token:after:next.cursor"),
            Ok(Pages::Token("after".into(), "next.cursor".into()))
        );
        assert_eq!(pages_of("skip:offset"), Ok(Pages::Skip("offset".into())));
        assert!(pages_of("skip").is_err() && pages_of("token:after").is_err() && pages_of("page:x").is_err());
    }
}
