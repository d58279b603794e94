//! Connectors that are a program of their own instead of requests: what is run, and what its streams are called.

use std::collections::BTreeSet;
use std::time::Duration;

use compact_str::CompactString;
use serde::Deserialize;

use super::body::Body;
use super::cond::Cond;
use super::decode::suggest;
use super::object::Object;
use super::scalar::{Many, Period};
use super::types::Manifest;
use crate::error::{Code, Problem};

/// A program that speaks to the tool in our place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// The language it speaks on its standard input and output.
    pub speaks: Speaks,
    /// The program and its first arguments. What begins with `./` or `../` counts from the manifest's folder. Never a
    /// place for secrets: every user of the machine can read it.
    pub command: Many<CompactString>,
    /// Further arguments behind those of the language.
    #[serde(default)]
    pub options: Vec<CompactString>,
    /// What the program reads as its settings, with `config` in expressions.
    #[serde(default)]
    pub config: Option<Body>,
    /// A file with the catalog of a tap that cannot discover, from the manifest's folder.
    #[serde(default)]
    pub catalog: Option<CompactString>,
    /// Settings of `config` above that the program may change: refresh tokens that are good for one use.
    #[serde(default)]
    pub returns: Many<CompactString>,
    /// How long it may say nothing while it is asked for something.
    #[serde(default = "idle")]
    pub idle: Period,
    /// How long one run may take.
    #[serde(default = "wall")]
    pub wall: Period,
    /// The most memory for data that each of its processes may take, in MiB.
    #[serde(default = "memory_mib")]
    pub memory_mib: u64,
}

fn idle() -> Period {
    Period(Duration::from_secs(15 * 60))
}

fn wall() -> Period {
    Period(Duration::from_secs(12 * 3600))
}

fn memory_mib() -> u64 {
    2048
}

/// What a guest speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// Our own JSON Lines: read, look up, write.
    Nivel,
    /// The Singer specification: a tap, read only.
    Singer,
    /// The Airbyte protocol: a source, read only.
    Airbyte,
}

impl Speaks {
    /// The word in the manifest.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Nivel => "nivel",
            Self::Singer => "singer",
            Self::Airbyte => "airbyte",
        }
    }
}

/// Where the objects of a stream come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "$short/stream")]
pub struct GuestStream {
    /// The program's name of the stream.
    pub stream: CompactString,
    /// The field by which the program tells what changed; without it, as the program itself says.
    #[serde(default)]
    pub cursor: Option<CompactString>,
    /// How often it is read without its state, to find what the state has missed.
    #[serde(default)]
    pub full: Option<Period>,
    /// What is to be thought of objects that a reading without state does not show.
    #[serde(default)]
    pub absent: Absent,
    /// True for an object that says of itself that it is gone; on `record`.
    #[serde(default)]
    pub deleted: Option<Cond>,
    /// What the program can do with its objects beside reading them (`speaks: nivel` only).
    #[serde(default)]
    pub can: BTreeSet<Can>,
}

/// What is to be thought of objects that a reading without state does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// Nothing: taps often begin at a date.
    #[default]
    Unknown,
    /// They were deleted: a reading without state shows everything there is.
    Deleted,
}

/// What a program can do with the objects of a stream beside reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Can {
    /// Read single objects by id.
    Get,
    /// Look objects up by the fields of `match`.
    Find,
    /// Make objects.
    Create,
    /// Change objects.
    Update,
    /// Remove objects.
    Delete,
}

impl Object {
    /// True when a program can do this with its objects.
    #[must_use]
    pub fn guest_can(&self, what: Can) -> bool {
        self.guest.as_ref().is_some_and(|guest| guest.can.contains(&what))
    }
}

/// What a manifest says of a program and cannot mean, with its place in the file.
pub(super) fn check(manifest: &Manifest) -> Vec<Problem> {
    let mut check = Check {
        manifest,
        problems: Vec::new(),
    };
    match (&manifest.guest, &manifest.base) {
        (None, None) => check.tell(
            "",
            "`base` is missing",
            "the address before every path, or `guest:` for a program",
        ),
        (Some(_), Some(_)) => check.tell("base", "a program has no `base`", "it belongs to its own `config`"),
        (Some(guest), None) => check.guest(guest),
        (None, Some(_)) => check.none(),
    }
    check.problems
}

struct Check<'a> {
    manifest: &'a Manifest,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn tell(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let place = self.manifest.places.of(path);
        let problem = Problem::new(Code::ManifestInvalid, message);
        self.problems.push(problem.about(place).hint(hint));
    }

    fn none(&mut self) {
        for (name, _) in self
            .manifest
            .objects
            .iter()
            .filter(|(_, object)| object.guest.is_some())
        {
            let hint = "say which program: `guest: {speaks: singer, command: [tap-example]}`";
            self.tell(&format!("objects.{name}.guest"), "there is no program", hint);
        }
    }

    fn guest(&mut self, guest: &Guest) {
        let manifest = self.manifest;
        if guest.command.is_empty() {
            self.tell("guest.command", "there is no program", "");
        }
        if guest.memory_mib < 32 {
            self.tell("guest.memory_mib", "no program can do with less than 32 MiB", "");
        }
        let foreign = [
            ("auth", manifest.auth.is_some()),
            ("oauth2", manifest.oauth2.is_some()),
            ("check", manifest.check.is_some()),
            ("webhook", manifest.webhook.is_some()),
            ("errors", !manifest.errors.is_empty()),
            ("limits", !manifest.limits.is_empty()),
            ("headers", !manifest.headers.is_empty()),
        ];
        for (word, _) in foreign.iter().filter(|(_, is_there)| *is_there) {
            self.tell(word, format!("`{word}` is the program's own business"), "");
        }
        let known: Vec<&CompactString> = match &guest.config {
            Some(Body::Map(pairs)) => pairs.iter().map(|(name, _)| name).collect(),
            Some(_) => {
                self.tell("guest.config", "the settings of a program are a map", "");
                Vec::new()
            }
            None => Vec::new(),
        };
        for name in guest.returns.iter().filter(|name| !known.contains(name)) {
            let message = format!("`{name}` is not in the program's `config`");
            self.tell("guest.returns", message, suggest(name, &known));
        }
        for (name, object) in &manifest.objects {
            self.object(guest, name, object);
        }
    }

    fn object(&mut self, guest: &Guest, name: &str, object: &Object) {
        let path = format!("objects.{name}");
        let requests = [
            ("read", object.read.is_some()),
            ("get", object.get.is_some()),
            ("find", !object.find.is_empty()),
            ("write", object.write.is_some()),
            ("describe", object.describe.is_some()),
            ("notes", object.notes.is_some()),
        ];
        for (word, _) in requests.iter().filter(|(_, is_there)| *is_there) {
            let message = format!("`{word}` is for requests, and here a program speaks");
            self.tell(
                &format!("{path}.{word}"),
                message,
                "write what it can do under `guest: {can: […]}`",
            );
        }
        let Some(stream) = &object.guest else {
            let hint = format!("write `guest: {name}`, or the program's name of the stream");
            self.tell(&path, "it is not said where its objects come from", hint);
            return;
        };
        let at = format!("{path}.guest");
        if guest.speaks != Speaks::Nivel && !stream.can.is_empty() {
            let message = format!("a program that speaks {} can only be read", guest.speaks.word());
            self.tell(&format!("{at}.can"), message, "leave `can` out");
        }
        if object.match_by.is_empty() == stream.can.contains(&Can::Find) {
            let message = "`match` and `can: [find]` belong together";
            self.tell(&at, message, "`match` names the fields by which objects are looked up");
        }
        if stream.can.contains(&Can::Create) && !stream.can.contains(&Can::Find) {
            let message = "objects that cannot be found again must not be made: an answer may get lost";
            self.tell(
                &format!("{at}.can"),
                message,
                "add `find`, and `match` with the fields it looks at",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
connector: small
format: 1
guest: {speaks: nivel, command: [python3, ./guest.py], config: {token: '{{ config.token }}'}}
config: {token: {secret: true}}
objects:
  contact:
    guest: {stream: people, can: [find, create]}
    id: id
    match: email
    fields: {email: {to: email, type: email}}
";

    #[track_caller]
    fn check(yaml: &str, expected: &[&str]) {
        let told: Vec<_> = match Manifest::parse("m.yaml", yaml) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn a_program_and_its_streams() {
        check(SMALL, &[]);
        let manifest = Manifest::parse("m.yaml", SMALL).unwrap();
        let object = &manifest.objects["contact"];
        let spec = object.spec();
        assert!(spec.can_create && !spec.can_update && !spec.can_get);
        assert_eq!(object.guest.as_ref().unwrap().stream, "people");
        let short = SMALL
            .replace("{stream: people, can: [find, create]}", "people")
            .replace("    match: email\n", "");
        check(&short, &[]);
    }

    #[test]
    fn every_mistake_has_its_place_and_a_hint() {
        check(
            &SMALL.replace("speaks: nivel", "speaks: singre"),
            &["MAN001 m.yaml:4:17: unknown word `singre` (hint: did you mean `singer`?)"],
        );
        check(
            &SMALL.replace("speaks: nivel", "speaks: singer").replace(
                "id: id",
                "id: id\n    read: {full: {every: 1d}, request: GET /x, records: .}",
            ),
            &[
                "MAN001 m.yaml:10:5: `read` is for requests, and here a program speaks (hint: write what it can do under `guest: {can: […]}`)",
                "MAN001 m.yaml:8:29: a program that speaks singer can only be read (hint: leave `can` out)",
            ],
        );
        check(
            &SMALL.replace("can: [find, create]", "can: [create]"),
            &[
                "MAN001 m.yaml:8:5: `match` and `can: [find]` belong together (hint: `match` names the fields by which objects are looked up)",
                "MAN001 m.yaml:8:29: objects that cannot be found again must not be made: an answer may get lost (hint: add `find`, and `match` with the fields it looks at)",
            ],
        );
        check(
            &SMALL.replace(
                "config: {token: '{{ config.token }}'}",
                "config: {token: '{{ config.token }}'}, returns: tokn",
            ),
            &["MAN001 m.yaml:4:104: `tokn` is not in the program's `config` (hint: did you mean `token`?)"],
        );
    }
}
