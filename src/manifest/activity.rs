//! Activities of a manifest: objects that hang on a person and are none, and on whom.

use compact_str::{CompactString, format_compact};
use serde::Deserialize;

use super::decode::suggest;
use super::field::{Field, FieldType, KeyRole, Pairs, TimeFormat, WriteRule};
use super::lint::Lint;
use super::object::Object;
use super::path::Path;
use crate::model::{FieldName, HolderBy, HolderSpec, Kind, WriteMode};

/// What the objects of a stream are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A human being.
    #[default]
    Person,
    /// A company, association or authority.
    Organization,
    /// A deal, a ticket, a call: it hangs on a person or an organization (`of`).
    Activity,
}

impl ObjectKind {
    /// The kind of customer that its objects are; activities are none.
    #[must_use]
    pub fn of_customer(self) -> Kind {
        match self {
            Self::Organization => Kind::Organization,
            Self::Person | Self::Activity => Kind::Person,
        }
    }
}

/// On whom an activity hangs.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub enum Of {
    /// On the objects of this kind whose ids stand at this place.
    Record(CompactString, Path),
    /// On whoever has the address that stands at this place.
    Email(Path),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    record: Option<CompactString>,
    #[serde(default)]
    at: Option<Path>,
    #[serde(default)]
    email: Option<Path>,
}

impl TryFrom<Raw> for Of {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, &'static str> {
        match (raw.record, raw.at, raw.email) {
            (Some(record), Some(at), None) => Ok(Self::Record(record, at)),
            (None, None, Some(email)) => Ok(Self::Email(email)),
            _ => Err("`of` has either `record` with `at` (where the id stands), or `email` (where the address stands)"),
        }
    }
}

impl Of {
    fn path(&self) -> &Path {
        match self {
            Self::Record(_, at) | Self::Email(at) => at,
        }
    }

    /// The field in which the mapped object keeps it.
    fn field(&self) -> FieldName {
        match self {
            Self::Record(record, _) => FieldName(format_compact!("{PREFIX}{record}")),
            Self::Email(_) => FieldName(format_compact!("{PREFIX}email")),
        }
    }
}

/// How the names of such fields begin.
const PREFIX: &str = "_of_";

/// True for a field that says on whom an activity hangs.
pub(super) fn is_holder(name: &FieldName) -> bool {
    name.as_str().starts_with(PREFIX)
}

/// Reads what `of` names like any other field.
pub(super) fn map_holders(object: &mut Object) {
    for of in object.of.iter() {
        let field = Field {
            to: of.path().clone(),
            kind: FieldType::Set,
            values: Pairs::default(),
            picklist: false,
            refers: None,
            write: WriteRule::Mode(WriteMode::Never),
            key: None::<KeyRole>,
            placeholder: None,
            format: TimeFormat::default(),
            sep: None,
        };
        object.fields.by_name.insert(of.field(), field);
    }
}

/// What the rest of Nivel needs to know of `of`.
pub(super) fn holders(object: &Object) -> Vec<HolderSpec> {
    let spec = |of: &Of| HolderSpec {
        field: of.field(),
        by: match of {
            Of::Record(record, _) => HolderBy::Record(record.clone()),
            Of::Email(_) => HolderBy::Field(FieldName::from("email")),
        },
    };
    object.of.iter().map(spec).collect()
}

/// Does what is said about activities make sense?
pub(super) fn check(lint: &mut Lint<'_>, name: &str, object: &Object) {
    let manifest = lint.manifest;
    let is_activity = object.kind == ObjectKind::Activity;
    if is_activity && object.of.is_empty() {
        let hint = "name where the id of its person stands: `of: {record: OBJECT, at: PATH}`";
        lint.sense(&format!("objects.{name}.kind"), "an activity needs `of`", hint);
    }
    if !is_activity && !object.of.is_empty() {
        lint.sense(
            &format!("objects.{name}.of"),
            "only an activity hangs on somebody",
            "write `kind: activity`",
        );
    }
    if is_activity && object.write.is_some() {
        let message = "activities are read, never written";
        lint.sense(&format!("objects.{name}.write"), message, "leave `write` out");
    }
    if is_activity && object.notes.is_some() || !is_activity && object.open.is_some() {
        let (word, hint) = if is_activity {
            ("notes", "an activity is opened with a text: write `open`")
        } else {
            ("open", "notes are written on a person: write `notes`")
        };
        lint.sense(&format!("objects.{name}.{word}"), "this is not for such objects", hint);
    }
    for of in object.of.iter() {
        let Of::Record(record, _) = of else { continue };
        let holders = manifest.objects.iter();
        let holders = holders.filter(|(_, object)| object.kind != ObjectKind::Activity);
        let names: Vec<&str> = holders.map(|(name, _)| name.as_str()).collect();
        if !names.contains(&record.as_str()) {
            let message = format!("there is no object `{record}` on which it could hang");
            lint.sense(&format!("objects.{name}.of"), message, suggest(record, &names));
        }
    }
}
