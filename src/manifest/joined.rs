//! Pointers between objects that a tool made one: in the one that is gone, or in the one that is left.

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value as Json;

use super::decode::suggest;
use super::lint::Lint;
use super::object::Object;
use super::path::Path;
use super::types::Manifest;
use crate::model::Joined;

/// Where an object says that it is one with another.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub enum Merged {
    /// It is no more, and lives on in the object whose id stands there (of this kind, when it is another one).
    Into(Path, Option<CompactString>),
    /// The objects whose ids stand there live on in it: a list, or a text cut at this.
    Of(Path, Option<CompactString>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    into: Option<Path>,
    #[serde(default)]
    object: Option<CompactString>,
    #[serde(default)]
    of: Option<Path>,
    #[serde(default)]
    split: Option<CompactString>,
}

impl TryFrom<Raw> for Merged {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, &'static str> {
        match (raw.into, raw.of, raw.object, raw.split) {
            (Some(path), None, object, None) => Ok(Self::Into(path, object)),
            (None, Some(path), None, split) => Ok(Self::Of(path, split)),
            _ => Err("`merged` has either `into` (with `object`, where that is another one) or `of` (with `split`)"),
        }
    }
}

impl Merged {
    /// The place in the object.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Into(path, _) | Self::Of(path, _) => path,
        }
    }
}

/// What an object says about others that it is one with.
#[must_use]
pub fn joined_in(pointers: &[Merged], object: &Json) -> Option<Box<Joined>> {
    let mut joined = Joined::default();
    for pointer in pointers {
        let Some(value) = pointer.path().find(object).value() else {
            continue;
        };
        let ids = ids_in(&value);
        match pointer {
            Merged::Into(_, kind) => {
                joined.into = joined
                    .into
                    .or_else(|| ids.into_iter().next().map(|id| (kind.clone(), id)));
            }
            Merged::Of(_, split) => {
                let cut = |text: CompactString| -> Vec<CompactString> {
                    match split {
                        Some(at) => text
                            .split(at.as_str())
                            .map(str::trim)
                            .map(CompactString::from)
                            .collect(),
                        None => vec![text],
                    }
                };
                let ids = ids.into_iter().flat_map(cut).filter(|id| !id.is_empty());
                joined.of.extend(ids);
            }
        }
    }
    (joined != Joined::default()).then(|| Box::new(joined))
}

fn ids_in(value: &Json) -> Vec<CompactString> {
    match value {
        Json::Array(items) => items.iter().flat_map(ids_in).collect(),
        Json::String(text) if text.trim().is_empty() => Vec::new(),
        Json::String(text) => vec![text.trim().into()],
        Json::Number(number) => vec![number.to_string().into()],
        _ => Vec::new(),
    }
}

/// A pointer to another object must lead somewhere.
pub(super) fn check(lint: &mut Lint<'_>, name: &str, object: &Object) {
    let manifest: &Manifest = lint.manifest;
    for pointer in object.merged.iter() {
        if let Merged::Into(_, Some(other)) = pointer
            && !manifest.objects.contains_key(other)
        {
            let names: Vec<&str> = manifest.objects.keys().map(|name| name.as_str()).collect();
            let hint = suggest(other, &names);
            lint.sense(
                &format!("objects.{name}.merged"),
                format!("there is no object `{other}`"),
                hint,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[track_caller]
    fn check(pointer: Merged, object: &Json, into: Option<(Option<&str>, &str)>, of: &[&str]) {
        let found = joined_in(&[pointer], object).map(|found| *found).unwrap_or_default();
        let into = into.map(|(kind, id)| (kind.map(CompactString::from), CompactString::from(id)));
        assert_eq!(found.into, into, "{object}");
        assert_eq!(found.of, of, "{object}");
    }

    #[test]
    fn p42_p44_a_record_says_who_it_lives_on_in() {
        let master = || Merged::Into(path("MasterRecordId"), None);
        check(master(), &json!({"MasterRecordId": "003A"}), Some((None, "003A")), &[]);
        check(master(), &json!({"MasterRecordId": null}), None, &[]);
        check(master(), &json!({"MasterRecordId": ""}), None, &[]);
        check(master(), &json!({}), None, &[]);
        let converted = Merged::Into(path("ConvertedContactId"), Some("contact".into()));
        check(
            converted,
            &json!({"ConvertedContactId": "003B"}),
            Some((Some("contact"), "003B")),
            &[],
        );
        let of = |split: Option<&str>| Merged::Of(path("p.old"), split.map(CompactString::from));
        check(of(Some(";")), &json!({"p": {"old": "7;8 ;"}}), None, &["7", "8"]);
        check(of(None), &json!({"p": {"old": [7, "8"]}}), None, &["7", "8"]);
        check(of(Some(";")), &json!({"p": {}}), None, &[]);
    }

    #[test]
    fn one_or_the_other() {
        for bad in ["{}", "{into: a, of: b}", "{of: b, object: c}", "{into: a, split: x}"] {
            assert!(serde_saphyr::from_str::<Merged>(bad).is_err(), "{bad}");
        }
    }
}
