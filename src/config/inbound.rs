//! The options of records that come by themselves: how they are proven, and where in a body everything stands.

use compact_str::CompactString;
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};

use super::InboundConfig;
use super::alerts::key_of;
use super::check::{ConnectorFacts, Need};
use super::read::secret;
use super::reader::{Entry, Section};
use super::sql::{KINDS, format_of, mapped};
use crate::manifest::{Path, Template};
use crate::model::FieldName;

pub(super) const INBOUND: &[&str] = &[
    "secret",
    "stream",
    "kind",
    "of",
    "decode",
    "rows",
    "id",
    "at",
    "at_format",
    "fields",
];
pub(super) const FIELD: &[&str] = &["path", "type", "enum", "ref", "sep", "format"];

/// The inbound hook of a system; `None` when something essential is missing, which was told then.
pub(super) fn inbound(system: &Section<'_>) -> Option<InboundConfig> {
    if !system.has("config") {
        system.missing(
            "config",
            "write `config: {secret: {file: …}, id: id, fields: {email: email}}`",
        );
        return None;
    }
    let section = system.section("config", INBOUND);
    for (key, hint) in [
        ("secret", "the secret the sender signs with: whsec_ and base64"),
        (
            "id",
            "where a record has its id, or an expression such as \"{{ e.email }}\"",
        ),
        (
            "fields",
            "canonical field: path in the record, for example {email: contact.mail}",
        ),
    ] {
        if !section.has(key) {
            section.missing(key, hint);
        }
    }
    let secrets = secrets(&section);
    let stream = section.text("stream").unwrap_or("record");
    let kinds = KINDS.map(|kind| (kind, kind));
    let kind = section.word("kind", &kinds).unwrap_or("person");
    let fields: Map<String, Json> = section
        .entries("fields")
        .into_iter()
        .filter_map(|(name, entry)| Some((name.to_owned(), field(name, &entry)?)))
        .collect();
    let mut options = Map::new();
    options.insert("stream".to_owned(), stream.into());
    options.insert("kind".to_owned(), kind.into());
    let decodes = [("json", "json"), ("form", "form")];
    options.insert(
        "decode".to_owned(),
        section.word("decode", &decodes).unwrap_or("json").into(),
    );
    options.insert(
        "rows".to_owned(),
        path(&section, "rows").unwrap_or_else(|| ".".to_owned()).into(),
    );
    options.insert("id".to_owned(), id(&section)?.into());
    options.extend(path(&section, "at").map(|at| ("at".to_owned(), at.into())));
    options.extend(format_of(&section, "at_format").map(|format| ("at_format".to_owned(), format.into())));
    match (kind, section.get("of")) {
        ("activity", None) => section.missing("of", "where the address of the person is on whom it hangs"),
        ("activity", Some(of)) => {
            let place = json!({"column": {"name": path(&section, "of")?, "at": of.place()}, "type": "set"});
            options.insert("of".to_owned(), place);
        }
        (_, Some(_)) => section.wrong("of", "`of` belongs to `kind: activity`", ""),
        (_, None) => {}
    }
    let facts = facts(stream, kind, &fields);
    options.insert("fields".to_owned(), fields.into());
    Some(InboundConfig {
        secrets: secrets?,
        options: options.into(),
        facts,
    })
}

/// Several secrets, apart by spaces or line ends, while the sender changes from one to another.
fn secrets(section: &Section<'_>) -> Option<Vec<SecretString>> {
    let text = secret(&section.get("secret")?)?;
    if text.split_whitespace().any(|secret| key_of(secret).is_none()) {
        let hint = "it looks like whsec_ and base64; several stand apart by spaces or line ends";
        section.wrong("secret", "`secret` must be a Standard Webhooks secret", hint);
        return None;
    }
    let bare = text
        .split_whitespace()
        .filter_map(|secret| secret.strip_prefix("whsec_"));
    Some(bare.map(SecretString::from).collect())
}

fn path(section: &Section<'_>, key: &str) -> Option<String> {
    section.parse(key, "a path such as contact.email", |text| {
        Path::parse(text).is_ok().then(|| text.to_owned())
    })
}

/// An expression, or a path, which is the short form of one.
fn id(section: &Section<'_>) -> Option<String> {
    section.parse("id", "a path such as contact.id, or an expression over `e`", |text| {
        let text = if text.contains("{{") {
            text.to_owned()
        } else {
            format!("{{{{ e.{text} }}}}")
        };
        Template::compile(&text).is_ok().then_some(text)
    })
}

fn field(name: &str, entry: &Entry<'_>) -> Option<Json> {
    let column = mapped(name, entry, "path", FIELD)?;
    let path = column["column"]["name"].as_str().unwrap_or_default();
    if Path::parse(path).is_err() {
        entry.wrong(
            format!("`{name}` does not lead to a place in the record"),
            "write a path such as contact.email",
        );
        return None;
    }
    Some(column)
}

fn facts(stream: &str, kind: &str, fields: &Map<String, Json>) -> ConnectorFacts {
    let stream = CompactString::from(stream);
    let names = fields.keys().map(|field| FieldName::from(field.as_str()));
    ConnectorFacts {
        config: INBOUND
            .iter()
            .map(|key| (CompactString::from(*key), Need::Optional))
            .collect(),
        streams: [(stream.clone(), names.collect())].into(),
        customers: (kind != "activity").then_some(stream).into_iter().collect(),
        ..ConnectorFacts::default()
    }
}
