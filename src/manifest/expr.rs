//! Expressions of a manifest: `{{ … }}` in text (minijinja), conditions, and JSON bodies made of both.
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
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value as Json};

use super::path::{Found, Path};
use super::{dynamic, filters};

/// The steps one expression may take.
pub const FUEL: u64 = 50_000;

/// What is not escaped in a path segment or a query value (RFC 3986 "unreserved").
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Marks a message as one about an expression, so that the parser can give it the right code.
pub(super) const MARK: &str = "expression: ";

static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Strict));
static LENIENT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Chainable));

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
    fn new(text: &str, why: impl fmt::Display) -> Self {
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

    fn root(&self) -> Dyn {
        Dyn::from_dyn_object(Arc::clone(&self.0))
    }
}

/// Text with `{{ … }}` in it.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    text: CompactString,
    parts: Vec<Part>,
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
        Ok(Self(Arc::new(Compiled {
            text: text.into(),
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
        let expressions = self.0.parts.iter().filter_map(|part| match part {
            Part::Expression(expression) => Some(expression),
            Part::Text(_) => None,
        });
        expressions
            .flat_map(|expression| expression.undeclared_variables(true))
            .collect()
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

    /// As [`Self::render_text`] for request paths: values are percent-encoded, so that an id can neither leave its
    /// segment nor add a parameter.
    ///
    /// # Errors
    /// As [`Self::render_text`], and when a value in the path is empty, `.` or `..`: the request would hit another
    /// address than the one meant (`DELETE /users/` instead of `DELETE /users/7`).
    pub fn render_url(&self, context: &Context) -> Result<String, BadExpression> {
        let mut out = String::new();
        for part in &self.0.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Expression(expression) => {
                    let value = as_text(&self.eval(expression, context)?);
                    if !out.contains('?') && matches!(value.as_str(), "" | "." | "..") {
                        return Err(BadExpression::new(
                            &self.0.text,
                            format!("`{value}` cannot be part of a path"),
                        ));
                    }
                    out.extend(utf8_percent_encode(&value, ESCAPED));
                }
            }
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

fn compile(env: &'static Environment<'static>, text: &str) -> Result<Expression<'static, 'static>, BadExpression> {
    let compiled = env.compile_expression_owned(text.trim().to_owned());
    compiled.map_err(|why| BadExpression::new(text.trim(), explain(&why)))
}

/// The engine's words without its position (always "line 1" here).
fn explain(why: &minijinja::Error) -> String {
    why.detail().map_or_else(|| why.kind().to_string(), ToOwned::to_owned)
}

/// Splits after the `}}` that ends an expression; braces of its own and quoted ones do not count.
fn split_expression(text: &str) -> Option<(&str, &str)> {
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

/// A condition: an expression with or without `{{ }}` around it. What cannot be evaluated does not hold.
#[derive(Clone)]
pub struct Cond(Arc<Condition>);

struct Condition {
    text: CompactString,
    /// The common shapes, so that a condition on each of a million records costs next to nothing.
    simple: Option<Simple>,
    expression: Expression<'static, 'static>,
}

/// `[not] path`, or `path == literal`, or `path != literal`.
struct Simple {
    path: Path,
    equals: Option<Json>,
    wanted: bool,
}

impl fmt::Debug for Cond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.text)
    }
}

impl Cond {
    /// Compiles a condition.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        let inner = text.trim();
        let inner = match inner.strip_prefix("{{") {
            Some(after) => split_expression(after)
                .filter(|(_, rest)| rest.trim().is_empty())
                .map(|(inner, _)| inner.trim())
                .ok_or_else(|| BadExpression::new(text, "`{{` is not closed"))?,
            None => inner,
        };
        Ok(Self(Arc::new(Condition {
            text: text.into(),
            simple: Simple::of(inner),
            expression: compile(&LENIENT, inner)?,
        })))
    }

    /// The names it uses, with their members as far as they are spelled out.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.0.expression.undeclared_variables(true).into_iter().collect()
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, context: &Context) -> bool {
        self.0
            .expression
            .eval(context.root())
            .is_ok_and(|value| value.is_true())
    }

    /// Whether it holds when the members of `object` are the names.
    #[must_use]
    pub fn holds_on(&self, object: &Json) -> bool {
        match &self.0.simple {
            Some(simple) => simple.holds(object, &simple.path),
            None => self.holds(&Context::of(object)),
        }
    }

    /// Whether it holds when `value` is known as `name`.
    #[must_use]
    pub fn holds_for(&self, name: &str, value: &Json) -> bool {
        if let Some(simple) = &self.0.simple {
            if let Some(path) = simple.path.below(name) {
                return simple.holds(value, &path);
            }
        }
        self.holds(&Context::new().with(name, value))
    }
}

impl Simple {
    fn of(text: &str) -> Option<Self> {
        let plain = |path: &str, equals, wanted| {
            let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
            let word = path.trim();
            if !word.chars().all(letters) || matches!(word, "true" | "false" | "none") {
                return None;
            }
            let path = Path::parse(word).ok().filter(Path::is_plain)?;
            Some(Self { path, equals, wanted })
        };
        for (sign, wanted) in [("==", true), ("!=", false)] {
            if let Some((path, literal)) = text.split_once(sign) {
                let literal = literal.trim();
                let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
                if inner.contains(['\'', '\\']) {
                    return None;
                }
                return plain(path, Some(Json::String(inner.to_owned())), wanted);
            }
        }
        match text.strip_prefix("not ") {
            Some(path) => plain(path, None, false),
            None => plain(text, None, true),
        }
    }

    fn holds(&self, from: &Json, path: &Path) -> bool {
        let found = path.find(from);
        let is_so = match (&self.equals, found) {
            (Some(literal), Found::Value(value)) => *value == *literal,
            (None, Found::Value(value)) => is_true(&value),
            (_, Found::Absent | Found::Empty) => false,
        };
        is_so == self.wanted
    }
}

/// Truth as the expression language has it: an empty text, list or object and 0 are false.
fn is_true(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(flag) => *flag,
        Json::Number(number) => number.as_f64().is_some_and(|number| number.abs() > 0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(map) => !map.is_empty(),
    }
}

impl<'de> Deserialize<'de> for Cond {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::compile(&CompactString::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// A JSON value with expressions in its texts.
#[derive(Clone, Debug)]
pub enum Body {
    /// Without any expression.
    Literal(Json),
    /// A text with expressions; one that is a single expression becomes its value.
    Template(Template),
    /// A list.
    List(Vec<Body>),
    /// An object.
    Map(Vec<(CompactString, Body)>),
}

impl Body {
    /// Compiles every text of a JSON value.
    ///
    /// # Errors
    /// When one of them does not compile.
    pub fn compile(value: Json) -> Result<Self, BadExpression> {
        Ok(match value {
            Json::String(text) if text.contains("{{") => Self::Template(Template::compile(&text)?),
            Json::Array(items) => Self::List(items.into_iter().map(Self::compile).collect::<Result<_, _>>()?),
            Json::Object(map) => Self::Map(
                map.into_iter()
                    .map(|(name, value)| Ok((name.into(), Self::compile(value)?)))
                    .collect::<Result<_, _>>()?,
            ),
            other => Self::Literal(other),
        })
    }

    /// The value with every expression evaluated.
    ///
    /// # Errors
    /// As [`Template::render_text`].
    pub fn render(&self, context: &Context) -> Result<Json, BadExpression> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Template(template) => template.render_value(context)?,
            Self::List(items) => Json::Array(
                items
                    .iter()
                    .map(|item| item.render(context))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Map(pairs) => {
                let mut map = Map::new();
                for (name, value) in pairs {
                    map.insert(name.to_string(), value.render(context)?);
                }
                Json::Object(map)
            }
        })
    }

    /// The names its expressions use.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Literal(_) => BTreeSet::new(),
            Self::Template(template) => template.names(),
            Self::List(items) => items.iter().flat_map(Self::names).collect(),
            Self::Map(pairs) => pairs.iter().flat_map(|(_, value)| value.names()).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::compile(Json::deserialize(from)?).map_err(de::Error::custom)
    }
}
