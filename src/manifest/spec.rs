//! What the rest of Nivel needs to know about an object of a manifest.

use compact_str::CompactString;

use super::field::{Field, FieldType};
use super::guest::Can;
use super::joined::Merged;
use super::object::Object;
use super::path::Path;
use super::value;
use super::write::{Before, Op, WriteOps};
use crate::model::{FieldName, FieldSpec, StreamSpec, WriteMode};

/// The most operations that a program is handed at once.
const GUEST_BATCH: usize = 100;

impl Object {
    /// What the rest of Nivel needs to know. Names that begin with `_` are left out: they serve writing only.
    #[must_use]
    pub fn spec(&self) -> StreamSpec {
        let fields = self
            .fields
            .by_name
            .iter()
            .filter(|(name, _)| !name.as_str().starts_with('_'));
        let ops = self.write.iter().flat_map(WriteOps::ops);
        let write = self.write.as_ref();
        StreamSpec {
            kind: self.kind.of_customer(),
            instead_of: self.stands_in_for().cloned(),
            holders: super::activity::holders(self),
            takes_notes: self.texts().is_some(),
            finds_notes: self.texts().is_some_and(|notes| notes.find.is_some()),
            fields: fields.map(|(name, field)| (name.clone(), field.spec())).collect(),
            match_by: self.match_by.iter().map(|name| self.match_name(name)).collect(),
            key_in: self.key_field().cloned(),
            can_get: self.get.is_some() || self.guest_can(Can::Get),
            can_create: write.is_some_and(|write| !write.create.is_empty() || !write.upsert.is_empty())
                || self.guest_can(Can::Create),
            can_update: write.is_some_and(|write| !write.update.is_empty()) || self.guest_can(Can::Update),
            can_delete: write.is_some_and(|write| !write.delete.is_empty()) || self.guest_can(Can::Delete),
            delete_is_final: write.is_some_and(|write| write.delete.iter().any(|op| op.is_final)),
            can_erase: write.is_some_and(|write| !write.erase.is_empty()),
            batch_max: ops
                .map(|op| op.max)
                .max()
                .unwrap_or_else(|| if self.guest.is_some() { GUEST_BATCH } else { 1 }),
            reads_before: self.before() == Before::Read,
            reads_back: write.is_some_and(|write| write.read_back),
        }
    }

    /// How a change by somebody else is noticed before it is overwritten.
    #[must_use]
    pub fn before(&self) -> Before {
        match self.write.as_ref().and_then(|write| write.before) {
            Some(said) => said,
            None if self.get.is_some() || self.guest_can(Can::Get) => Before::Read,
            None => Before::Nothing,
        }
    }

    /// The field where the tool keeps our customer key.
    #[must_use]
    pub fn key_field(&self) -> Option<&FieldName> {
        self.fields
            .by_name
            .iter()
            .find(|(_, field)| field.key.is_some())
            .map(|(name, _)| name)
    }

    /// How the rest of Nivel spells a field of `match`: our own key is `key`.
    fn match_name(&self, name: &CompactString) -> FieldName {
        match self.key_field() {
            Some(key) if key.0 == *name => FieldName::from("key"),
            _ => FieldName(name.clone()),
        }
    }

    /// The tool's own names of the mapped fields (`fields.remote` in expressions), without what is around all of them.
    #[must_use]
    pub fn remote_names(&self) -> Vec<CompactString> {
        let around = self.fields.at.as_ref().map_or(0, |at| at.names().len());
        let mut names: Vec<CompactString> = Vec::new();
        let pointers = self
            .merged
            .iter()
            .map(Merged::path)
            .filter(|path| around > 0 || path.is_plain());
        let pointers = pointers.filter(|path| self.fields.at.as_ref().is_none_or(|at| is_below(at, path)));
        let holders = super::activity::is_holder;
        let mapped = self.fields.by_name.iter().filter(|(name, _)| !holders(name));
        for path in mapped.map(|(_, field)| &field.to).chain(pointers) {
            let inner = path.names().get(around).copied();
            if let Some(name) = inner.filter(|name| !names.iter().any(|known| known == name)) {
                names.push(name.into());
            }
        }
        names
    }
}

fn is_below(around: &Path, path: &Path) -> bool {
    path.names().starts_with(&around.names())
}

impl WriteOps {
    /// Every way to write.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.ways().map(|(_, _, op)| op)
    }

    /// Every way to write, with its word in the manifest and its position there.
    pub fn ways(&self) -> impl Iterator<Item = (&'static str, usize, &Op)> {
        let words = [
            ("create", &self.create),
            ("update", &self.update),
            ("upsert", &self.upsert),
            ("delete", &self.delete),
            ("erase", &self.erase),
        ];
        words
            .into_iter()
            .flat_map(|(word, ops)| ops.iter().enumerate().map(move |(index, op)| (word, index, op)))
    }
}

impl Field {
    fn spec(&self) -> FieldSpec {
        FieldSpec {
            // Our key is put there by the mapper itself. The id of an object of one tool means nothing in another.
            write: if self.key.is_some() || self.kind() == FieldType::Ref {
                WriteMode::Never
            } else {
                self.write.mode()
            },
            order: self.values.0.iter().map(|(canonical, _)| canonical.clone()).collect(),
            placeholder: self
                .placeholder
                .as_ref()
                .and_then(|value| value::canonical(self, value)),
        }
    }
}
