//! Expressions of a manifest: `{{ … }}` in text (minijinja). Conditions stand in [`super::cond`], bodies in [`super::body`].
//!
//! Strict and bounded: an unknown name is an error, an expression may spend [`FUEL`] steps, and there is no way from an
//! expression to a file, a clock or the network. Conditions are lenient instead: an answer of an unexpected shape makes a
//! condition false, it never stops a stream.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use compact_str::CompactString;
use minijinja::value::{Enumerator, Object as Dynamic, Value as Dyn};
use minijinja::{Environment, Expression, UndefinedBehavior};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::{dynamic, filters};

/// The steps one expression may take.
pub const FUEL: u64 = 50_000;

/// The longest expression, in bytes. The compiler works down an expression level by level, on the stack.
const EXPRESSION_BYTES_MAX: usize = 4000;

/// What is not escaped in a path segment or a query value (RFC 3986 "unreserved").
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Marks a message as one about an expression, so that the parser can give it the right code.
pub(super) const MARK: &str = "expression: ";

pub(super) static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Strict));
pub(super) static LENIENT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Chainable));

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(undefined);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(50);
    filters::install(&mut env);
    env
}

/// An expression does not compile, or cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}`{text}`: {why}", MARK)]
pub struct BadExpression {
    /// The expression.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl BadExpression {
    pub(super) fn new(text: &str, why: impl fmt::Display) -> Self {
        Self {
            text: text.to_owned(),
            why: why.to_string(),
        }
    }
}

/// The names an expression may use, with their values. Times are milliseconds since 1970. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Context(Arc<Names>);

#[derive(Clone, Debug, Default)]
struct Names(BTreeMap<CompactString, Dyn>);

impl Dynamic for Names {
    fn get_value(self: &Arc<Self>, key: &Dyn) -> Option<Dyn> {
        self.0.get(key.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|name| Dyn::from(name.as_str())).collect())
    }
}

impl Context {
    /// No names at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a name a value.
    pub fn set(&mut self, name: &str, value: &Json) {
        let value = dynamic::from_json(value);
        Arc::make_mut(&mut self.0).0.insert(name.into(), value);
    }

    /// Gives a name raw bytes; in text they stand as they are, and filters such as `sha256` see exactly them.
    pub fn set_bytes(&mut self, name: &str, bytes: &[u8]) {
        Arc::make_mut(&mut self.0)
            .0
            .insert(name.into(), Dyn::from_bytes(bytes.to_vec()));
    }

    /// True when the member of a name has a value, and is no empty text.
    #[must_use]
    pub fn is_set(&self, name: &str, member: &str) -> bool {
        let value = self.0.0.get(name).and_then(|value| value.get_attr(member).ok());
        value.is_some_and(|value| {
            let is_blank = value.as_str().is_some_and(|text| text.trim().is_empty());
            !(value.is_undefined() || value.is_none() || is_blank)
        })
    }

    /// The same names and one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &Json) -> Self {
        self.set(name, value);
        self
    }

    /// The members of an object as names.
    #[must_use]
    pub fn of(object: &Json) -> Self {
        let mut out = Self::new();
        for (name, value) in object.as_object().into_iter().flatten() {
            out.set(name, value);
        }
        out
    }

    pub(super) fn root(&self) -> Dyn {
        Dyn::from_dyn_object(Arc::clone(&self.0))
    }
}

/// Text with `{{ … }}` in it.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    text: CompactString,
    parts: Vec<Part>,
    /// Found once: the engine reads the expression again each time it is asked.
    names: BTreeSet<String>,
}

enum Part {
    Text(String),
    Expression(Expression<'static, 'static>),
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl Template {
    /// Compiles a text.
    ///
    /// # Errors
    /// When an expression is not closed or does not compile, or when a statement (`{%`) is used: there are none here.
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        let bad = |why: &str| BadExpression::new(text, why);
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            parts.push(Part::Text(before.to_owned()));
            let (inner, after) = split_expression(after).ok_or_else(|| bad("`{{` is not closed"))?;
            parts.push(Part::Expression(compile(&STRICT, inner)?));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        let literal = |part: &Part| matches!(part, Part::Text(text) if text.contains("{%") || text.contains("{#"));
        if parts.iter().any(literal) {
            return Err(bad("statements and comments are not supported, only `{{ … }}`"));
        }
        let names = parts.iter().filter_map(|part| match part {
            Part::Expression(expression) => Some(expression.undeclared_variables(true)),
            Part::Text(_) => None,
        });
        Ok(Self(Arc::new(Compiled {
            text: text.into(),
            names: names.flatten().collect(),
            parts,
        })))
    }

    /// The text without any expression in it, if so.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        let is_text = self.0.parts.iter().all(|part| matches!(part, Part::Text(_)));
        is_text.then_some(self.0.text.as_str())
    }

    /// The names it uses, with their members as far as they are spelled out (`config.token`).
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.0.names.clone()
    }

    /// As [`Self::names`], to be looked at.
    #[must_use]
    pub fn used(&self) -> &BTreeSet<String> {
        &self.0.names
    }

    /// The text with every expression replaced by its value as text; `none` becomes nothing, lists and objects JSON.
    ///
    /// # Errors
    /// When an expression cannot be evaluated or uses something that is not there.
    pub fn render_text(&self, context: &Context) -> Result<String, BadExpression> {
        let mut out = String::new();
        for part in &self.0.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Expression(expression) => out.push_str(&as_text(&self.eval(expression, context)?)),
            }
        }
        Ok(out)
    }

    /// As [`Self::render_text`], with raw bytes left as they are, also where they are no text.
    ///
    /// # Errors
    /// As [`Self::render_text`].
    pub fn render_bytes(&self, context: &Context) -> Result<Vec<u8>, BadExpression> {
        let mut out = Vec::new();
        for part in &self.0.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Expression(expression) => {
                    let value = self.eval(expression, context)?;
                    match value.as_bytes() {
                        Some(bytes) => out.extend_from_slice(bytes),
                        None => out.extend_from_slice(as_text(&value).as_bytes()),
                    }
                }
            }
        }
        Ok(out)
    }

    /// As [`Self::render_text`] for request paths: values are percent-encoded, so that an id can neither leave its
    /// segment nor add a parameter.
    ///
    /// # Errors
    /// As [`Self::render_text`], and when a value in the path is empty, `.` or `..`: the request would hit another
    /// address than the one meant (`DELETE /users/` instead of `DELETE /users/7`).
    pub fn render_url(&self, context: &Context) -> Result<String, BadExpression> {
        let mut out = String::new();
        for part in &self.0.parts {
            let expression = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Expression(expression) => expression,
            };
            let value = as_text(&self.eval(expression, context)?);
            if !out.contains('?') && matches!(value.as_str(), "" | "." | "..") {
                let why = format!("`{value}` cannot be part of a path");
                return Err(BadExpression::new(&self.0.text, why));
            }
            out.extend(utf8_percent_encode(&value, ESCAPED));
        }
        Ok(out)
    }

    /// The value of a text that is one single expression (a list stays a list); otherwise the rendered text.
    ///
    /// # Errors
    /// As [`Self::render_text`].
    pub fn render_value(&self, context: &Context) -> Result<Json, BadExpression> {
        match self.0.parts.as_slice() {
            [Part::Expression(expression)] => {
                let value = self.eval(expression, context)?;
                Ok(dynamic::to_json(&value))
            }
            _ => self.render_text(context).map(Json::String),
        }
    }

    fn eval(&self, expression: &Expression<'static, 'static>, context: &Context) -> Result<Dyn, BadExpression> {
        let value = expression
            .eval(context.root())
            .map_err(|why| BadExpression::new(&self.0.text, explain(&why)))?;
        if value.is_undefined() {
            return Err(BadExpression::new(&self.0.text, "uses something that is not there"));
        }
        Ok(value)
    }
}

pub(super) fn compile(
    env: &'static Environment<'static>,
    text: &str,
) -> Result<Expression<'static, 'static>, BadExpression> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let start: String = text.chars().take(40).collect();
        return Err(BadExpression::new(
            &format!("{start}…"),
            format!("longer than {EXPRESSION_BYTES_MAX} bytes"),
        ));
    }
    let compiled = env.compile_expression_owned(text.trim().to_owned());
    compiled.map_err(|why| BadExpression::new(text.trim(), explain(&why)))
}

/// The engine's words without its position (always "line 1" here).
fn explain(why: &minijinja::Error) -> String {
    why.detail().map_or_else(|| why.kind().to_string(), ToOwned::to_owned)
}

/// Splits after the `}}` that ends an expression; braces of its own and quoted ones do not count.
pub(super) fn split_expression(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if letter == '\\' => escaped = true,
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None => match letter {
                '\'' | '"' => quote = Some(letter),
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                '}' => return Some((text.get(..at)?, text.get(at..)?.strip_prefix("}}")?)),
                _ => {}
            },
        }
    }
    None
}

fn as_text(value: &Dyn) -> String {
    if value.is_none() {
        return String::new();
    }
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => filters::text_of(value),
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::compile(&CompactString::deserialize(from)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn context() -> Context {
        Context::of(&json!({
            "config": {"key": "a1:0fff", "token": "t"}, "ids": ["1", "2"], "at": 1_769_846_400_250_i64, "none_": null,
            "body": {"message": "x. Existing ID: 42", "errors": [{"m": "a"}, {"m": "b"}]}, "s": "A b/ü?&", "o": {"a": 1},
        }))
    }

    #[track_caller]
    fn check(text: &str, expected: Result<Json, &str>) {
        let value = Template::compile(text).and_then(|template| template.render_value(&context()));
        assert_eq!(
            value.map_err(|why| why.why),
            expected.map_err(ToOwned::to_owned),
            "{text}"
        );
    }

    #[test]
    fn values() {
        check("{{ ids }}", Ok(json!(["1", "2"])));
        check("n={{ ids | join(',') }}", Ok(json!("n=1,2")));
        check("{{ none_ }}", Ok(Json::Null));
        check("[{{ none_ }}]", Ok(json!("[]")));
        check("{{ {'a': {'b': [1]}} }}", Ok(json!({"a": {"b": [1]}})));
        check("{{ '}}' }}", Ok(json!("}}")));
        check("plain", Ok(json!("plain")));
        check("{{ config.key.split(':')[0] }}", Ok(json!("a1")));
        check("{{ ids | each('id') }}", Ok(json!([{"id": "1"}, {"id": "2"}])));
        check("{{ o | with('b', ids) | without('a') }}", Ok(json!({"b": ["1", "2"]})));
        check("{{ body.message | find('Existing ID: (\\d+)') }}", Ok(json!("42")));
        check("{{ body.message | find('nothing') }}", Ok(Json::Null));
        check("{{ body.errors | map(attribute='m') | join('; ') }}", Ok(json!("a; b")));
        check("{{ none_ | fromjson({'text': s}) }}", Ok(json!({"text": "A b/ü?&"})));
        check("{{ o | tojson }}", Ok(json!("{\"a\":1}")));
    }

    #[test]
    fn times_and_hashes() {
        check("{{ at | ms }}", Ok(json!(1_769_846_400_250_i64)));
        check("{{ at | s }}", Ok(json!(1_769_846_400)));
        check("{{ at | rfc3339 }}", Ok(json!("2026-01-31T08:00:00.25Z")));
        check("{{ at | sql }}", Ok(json!("2026-01-31 08:00:00")));
        check("{{ (at | parts).microsecond }}", Ok(json!(250_000)));
        check("{{ 'a@b.c' | md5 }}", Ok(json!("5d60d4e28066df254d5452f92c910092")));
        check("{{ 'abc' | sha256 | find('^.{8}') }}", Ok(json!("ba7816bf")));
        check("{{ '0fff' | hex_decode | base64 }}", Ok(json!("D/8=")));
        check("{{ '0fff' | hex_decode | base64url }}", Ok(json!("D_8=")));
        check("{{ '0ff' | hex_decode }}", Err("not hexadecimal"));
    }

    #[test]
    fn what_is_not_there_or_takes_too_long_is_an_error() {
        check("{{ config.tokn }}", Err("uses something that is not there"));
        check("a{{ unknown }}", Err("uses something that is not there"));
        assert!(
            Template::compile("{{ ids | nofilter }}")
                .and_then(|it| it.render_value(&context()))
                .is_err()
        );
        assert!(Template::compile("{% for x in y %}").is_err());
        assert!(Template::compile("{{ a").is_err());
        assert!(Template::compile("{{ a b }}").is_err());
        let long = |terms: usize| Template::compile(&format!("{{{{ {} }}}}", vec!["1"; terms].join("+")));
        assert_eq!(long(1500).unwrap().render_value(&context()), Ok(json!(1500)));
        assert!(long(60_000).is_err());
    }

    #[track_caller]
    fn check_url(text: &str, expected: Option<&str>) {
        let url = Template::compile(text).and_then(|template| template.render_url(&context()));
        assert_eq!(url.ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn a_value_cannot_leave_its_place_in_an_address() {
        check_url("/users/{{ s }}", Some("/users/A%20b%2F%C3%BC%3F%26"));
        check_url("/users?ids={{ ids | join(',') }}", Some("/users?ids=1%2C2"));
        check_url("/users/{{ none_ }}", None);
        check_url("/users/{{ '..' }}", None);
        check_url("/users?q={{ none_ }}", Some("/users?q="));
    }
}
