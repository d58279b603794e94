//! How a tool tells which fields its objects have: names, labels, types, lists of choices.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value as Json;

use super::body::Body;
use super::cond::Cond;
use super::map::Mapper;
use super::object::Object;
use super::path::Path;
use super::scalar::Request;
use super::value;
use crate::model::{Described, FieldName, Operation};

/// How a tool tells which fields its objects have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Describe {
    /// The request.
    pub request: Request,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Where the fields are in the answer.
    pub records: Path,
    /// Where a field's own name is.
    pub name: Path,
    /// Where the name is that people see.
    #[serde(default)]
    pub label: Option<Path>,
    /// Where its type is.
    #[serde(default, rename = "type")]
    pub kind: Option<Path>,
    /// Where the values of its list are, if it has one.
    #[serde(default)]
    pub options: Option<Path>,
    /// True for a field that the account made itself; on the row's own names. All of them when left out.
    #[serde(default)]
    pub custom: Option<Cond>,
    /// Where the described fields stand in an object; only what is mapped from there is compared.
    #[serde(default)]
    pub at: Path,
}

impl Object {
    /// The fields that an answer describes, with the canonical field that each is mapped to.
    #[must_use]
    pub fn described(&self, describe: &Describe, body: &Json) -> Vec<Described> {
        let mapped = self.mapped_below(&describe.at);
        let text = |path: Option<&Path>, row: &Json| {
            let found = path.and_then(|path| path.find(row).value().map(std::borrow::Cow::into_owned));
            found.and_then(|found| {
                value::scalar_text(&found)
                    .ok()
                    .map(|text| CompactString::from(text.as_ref()))
            })
        };
        let rows = describe.records.rows(body);
        let described = rows.iter().filter_map(|row| {
            let name = text(Some(&describe.name), row).filter(|name| !name.is_empty())?;
            let options = describe.options.iter().flat_map(|path| path.all(row));
            let options =
                options.filter_map(|option| value::scalar_text(&option).ok().map(|text| text.as_ref().into()));
            Some(Described {
                label: text(describe.label.as_ref(), row).unwrap_or_default(),
                kind: text(describe.kind.as_ref(), row).unwrap_or_default(),
                is_custom: describe.custom.as_ref().is_none_or(|custom| custom.holds_on(row)),
                options: options.collect(),
                mapped_to: mapped.get(name.as_str()).cloned(),
                name,
            })
        });
        described.collect()
    }

    /// Mapped fields that an answer does not describe any more, with the tool's own name.
    #[must_use]
    pub fn vanished(&self, describe: &Describe, described: &[Described]) -> Vec<(FieldName, CompactString)> {
        let known: BTreeSet<&str> = described.iter().map(|field| field.name.as_str()).collect();
        let mapped = self.mapped_below(&describe.at).into_iter();
        mapped
            .filter(|(own, _)| !known.contains(own))
            .map(|(own, name)| (name, own.into()))
            .collect()
    }

    /// The tool's own names of the fields that stand at a place → the canonical field.
    fn mapped_below(&self, at: &Path) -> BTreeMap<&str, FieldName> {
        let around = at.names();
        let below = self.fields.by_name.iter().filter_map(|(name, field)| {
            let names = field.to.names();
            let (front, rest) = names.split_at_checked(around.len())?;
            (front == around).then(|| Some((*rest.first()?, name.clone())))?
        });
        below.collect()
    }
}

/// The lists of a tool that values must be in: canonical field → values. Only of fields that the manifest calls a picklist.
pub type Lists = BTreeMap<FieldName, BTreeSet<CompactString>>;

impl Object {
    /// Fields whose values must be in a list of the tool.
    pub fn picklists(&self) -> impl Iterator<Item = &FieldName> {
        self.fields
            .by_name
            .iter()
            .filter(|(_, field)| field.picklist)
            .map(|(name, _)| name)
    }

    /// The lists that an answer tells. A field without a list takes everything.
    #[must_use]
    pub fn lists(&self, described: &[Described]) -> Lists {
        let mut lists = Lists::new();
        for field in described.iter().filter(|field| !field.options.is_empty()) {
            let name = self.picklists().find(|name| field.mapped_to.as_ref() == Some(*name));
            if let Some(name) = name {
                lists.insert(name.clone(), field.options.iter().cloned().collect());
            }
        }
        lists
    }
}

impl Mapper {
    /// A field of an operation whose value is not in the tool's list, with that value as the tool would see it.
    #[must_use]
    pub fn outside(&self, lists: &Lists, operation: &Operation) -> Option<(FieldName, String)> {
        let set = operation
            .fields
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (name, value) in set {
            let Some(list) = lists.get(name) else { continue };
            let out = self.value_out(name.as_str(), value);
            let items = out
                .as_array()
                .map_or_else(|| vec![&out], |items| items.iter().collect());
            let texts = items.into_iter().filter_map(|item| value::scalar_text(item).ok());
            for text in texts.filter(|text| !text.is_empty()) {
                if !list.contains(text.as_ref()) {
                    return Some((name.clone(), text.into_owned()));
                }
            }
        }
        None
    }
}
