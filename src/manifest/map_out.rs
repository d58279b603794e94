//! Canonical fields into the remote object of a write.

use serde_json::{Map, Value as Json};

use super::expr::{Context, Template};
use super::field::{Field, FieldType, RawWrite, WriteRule};
use super::map::Mapper;
use super::path::Found;
use super::value;
use crate::error::{Code, Problem};
use crate::model::{FieldName, Operation, Value, WriteAction, WriteMode};

/// Names of a person that a write may use whether the object maps them or not.
pub(super) const GOLDEN_NAMES: [&str; 3] = ["given_name", "family_name", "full_name"];

impl Mapper {
    /// The remote object of an operation: what the manifest calls `remote`, without what `_at` puts around it. Only fields of the operation that may be
    /// written, plus our customer key where the tool keeps it and nothing else stands there.
    ///
    /// # Errors
    /// When an expression of the manifest cannot be evaluated.
    pub fn fields_out(&self, operation: &Operation) -> Result<Json, Problem> {
        let is_new = operation.action == WriteAction::Create;
        let mut out = Json::Object(Map::new());
        let mut context = None;
        for (name, field) in &self.fields {
            if field.key.is_some() {
                continue;
            }
            let Some(wanted) = operation.fields.get(name) else {
                continue;
            };
            if !field.write.is_due(is_new) {
                continue;
            }
            match &field.write {
                WriteRule::Mode(_) => {
                    let value = wanted.as_ref().map(|value| value::value_out(field, value));
                    self.put(field, value, operation, &mut out);
                }
                WriteRule::Value(template) => {
                    let context = context.get_or_insert_with(|| self.context(operation));
                    let value = render(template, context, name, operation)?;
                    let value = value::canonical(field, &value).map(|value| value::value_out(field, &value));
                    self.put(field, value, operation, &mut out);
                }
                WriteRule::Raw(raw) => {
                    let context = context.get_or_insert_with(|| self.context(operation));
                    let value = render(&raw.value, context, name, operation)?;
                    put_raw(raw, value, &mut out);
                }
                WriteRule::After => {}
            }
        }
        // Our key alone is no reason to write to an object that is there.
        let is_worth = is_new || out.as_object().is_some_and(|out| !out.is_empty());
        for (name, field) in self.fields.iter().filter(|(_, field)| field.key.is_some() && is_worth) {
            self.put_key(field, name, operation, &mut out);
        }
        let inner = self.around.find(&out).value().map(std::borrow::Cow::into_owned);
        Ok(inner.unwrap_or_else(|| Json::Object(Map::new())))
    }

    /// The remote form of a field's value, for lookups and for addressing an object by a field.
    #[must_use]
    pub fn value_out(&self, field: &str, value: &Value) -> Json {
        let field = self.fields.iter().find(|(name, _)| name.as_str() == field);
        field.map_or_else(|| value::plain(value), |(_, field)| value::value_out(field, value))
    }

    /// What the object had when last seen, as expressions see it (`known`): every mapped field, `none` when unknown.
    #[must_use]
    pub fn known(&self, operation: &Operation) -> Json {
        let known = self.fields.iter().map(|(name, _)| {
            let value = operation.known.value(name.as_str()).map_or(Json::Null, value::plain);
            (name.to_string(), value)
        });
        Json::Object(known.collect())
    }

    /// What the object will have after the operation, as expressions see it (`match`).
    #[must_use]
    pub fn wanted(&self, operation: &Operation) -> Json {
        let mut all = match self.known(operation) {
            Json::Object(known) => known,
            _ => Map::new(),
        };
        for name in GOLDEN_NAMES {
            all.entry(name).or_insert(Json::Null);
        }
        for (name, value) in &operation.fields {
            all.insert(name.to_string(), value.as_ref().map_or(Json::Null, value::plain));
        }
        Json::Object(all)
    }

    fn context(&self, operation: &Operation) -> Context {
        Context::of(&self.wanted(operation))
            .with("known", &self.known(operation))
            .with("customer", &Json::String(operation.key.to_string()))
    }

    fn put_key(&self, field: &Field, name: &FieldName, operation: &Operation, out: &mut Json) {
        let is_new = operation.action == WriteAction::Create;
        let is_taken = operation.known.value(name.as_str()).is_some();
        if field.write.is_due(is_new) && !is_taken {
            field
                .to
                .put(out, Some(Json::String(operation.key.to_string())), &self.clear);
        }
    }

    fn put(&self, field: &Field, value: Option<Json>, operation: &Operation, out: &mut Json) {
        if !field.to.is_plain() {
            self.put_back(field, operation, out);
        }
        // A list without anything in it is no value: it is emptied as the tool wants it, which some refuse to take as `[]`.
        let value = value.filter(|value| value.as_array().is_none_or(|items| !items.is_empty()));
        field.to.put(out, value, &self.clear);
    }

    /// A list or an embedded text is written as a whole: what the object holds beside our value is put back first.
    fn put_back(&self, field: &Field, operation: &Operation, out: &mut Json) {
        let around = field.to.names();
        let keeper = self
            .fields
            .iter()
            .find(|(_, keeper)| keeper.to.is_plain() && keeper.to.names() == around);
        let Some((name, keeper)) = keeper else {
            return;
        };
        if keeper.to.find(out) != Found::Absent {
            return;
        }
        if let Some(known) = operation.known.value(name.as_str()) {
            keeper.to.put(out, Some(value::value_out(keeper, known)), &Json::Null);
        }
    }
}

fn render(template: &Template, context: &Context, name: &FieldName, operation: &Operation) -> Result<Json, Problem> {
    let value = operation
        .fields
        .get(name)
        .and_then(Option::as_ref)
        .map_or(Json::Null, value::plain);
    let was = operation.known.value(name.as_str()).map_or(Json::Null, value::plain);
    let context = context.clone().with("value", &value).with("was", &was);
    template.render_value(&context).map_err(|why| {
        Problem::new(
            Code::ManifestExpression,
            format!("field `{name}` cannot be written: {}", why.why),
        )
    })
}

fn put_raw(raw: &RawWrite, value: Json, out: &mut Json) {
    if value.is_null() {
        return;
    }
    let there = raw.at.find(out).value().map(std::borrow::Cow::into_owned);
    let value = match (there, value) {
        (Some(Json::Array(mut items)), Json::Array(more)) => {
            items.extend(more);
            Json::Array(items)
        }
        (Some(Json::Object(mut members)), Json::Object(more)) => {
            members.extend(more);
            Json::Object(members)
        }
        (_, value) => value,
    };
    raw.at.put(out, Some(value), &Json::Null);
}

impl WriteRule {
    /// The mode it amounts to.
    #[must_use]
    pub fn mode(&self) -> WriteMode {
        match self {
            Self::Mode(mode) => *mode,
            Self::Raw(raw) => raw.mode,
            Self::Value(_) => WriteMode::Always,
            Self::After => WriteMode::Call,
        }
    }

    fn is_due(&self, is_new: bool) -> bool {
        match self.mode() {
            // Whether the object has a value already was decided before the write was queued.
            WriteMode::Always | WriteMode::ForwardOnly | WriteMode::FillOnly => true,
            WriteMode::CreateOnly => is_new,
            WriteMode::Call | WriteMode::Never => false,
        }
    }
}

impl FieldType {
    /// What a person calls it.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Email => "an e-mail address",
            Self::Phone => "a phone number",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Time => "a time in the declared format",
            Self::Set => "a list of texts",
            Self::Enum => "one of several words",
            Self::Ref => "the id of an object",
            Self::Json => "JSON",
        }
    }
}
