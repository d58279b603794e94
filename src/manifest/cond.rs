//! Conditions. The common shapes are read off the JSON itself, without the expression engine.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;
use minijinja::Expression;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::expr::{BadExpression, Context, LENIENT, STRICT, compile, split_expression};
use super::path::{Found, Path};

/// A condition: an expression with or without `{{ }}` around it. What cannot be evaluated does not hold.
#[derive(Clone)]
pub struct Cond(Arc<Condition>);

struct Condition {
    text: CompactString,
    /// The common shapes, so that a condition on each of a million records costs next to nothing.
    simple: Option<Simple>,
    expression: Expression<'static, 'static>,
    strict: Expression<'static, 'static>,
}

/// `[not] path`, or `path == literal`, or `path != literal`, or `name is [un]defined`.
struct Simple {
    path: Path,
    test: Test,
    wanted: bool,
}

enum Test {
    True,
    Equals(Json),
    Defined,
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
            strict: compile(&STRICT, inner)?,
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

    /// Whether it holds when the members of `object` are the names; what is missing counts as nothing.
    #[must_use]
    pub fn holds_on(&self, object: &Json) -> bool {
        match &self.0.simple {
            Some(simple) => simple.holds(object, &simple.path, !simple.wanted),
            None => self.holds(&Context::of(object)),
        }
    }

    /// Whether it holds when `value` is known as `name`. It does not when what it asks for is missing: `not record.active`
    /// must not take every object of an incomplete answer for removed.
    #[must_use]
    pub fn holds_for(&self, name: &str, value: &Json) -> bool {
        if let Some((simple, path)) = self
            .0
            .simple
            .as_ref()
            .and_then(|simple| Some((simple, simple.path.below(name)?)))
        {
            return simple.holds(value, &path, false);
        }
        let context = Context::new().with(name, value);
        self.0.strict.eval(context.root()).is_ok_and(|value| value.is_true())
    }
}

impl Simple {
    fn of(text: &str) -> Option<Self> {
        let plain = |path: &str, test, wanted| {
            let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
            let word = path.trim();
            if !word.chars().all(letters) || matches!(word, "true" | "false" | "none") {
                return None;
            }
            let path = Path::parse(word).ok().filter(Path::is_plain)?;
            Some(Self { path, test, wanted })
        };
        for (test, wanted) in [(" is defined", true), (" is undefined", false)] {
            // Only a name of the object itself: what a longer path means whose beginning is missing, the engine knows.
            if let Some(name) = text.strip_suffix(test).filter(|name| !name.contains('.')) {
                return plain(name, Test::Defined, wanted);
            }
        }
        for (sign, wanted) in [("==", true), ("!=", false)] {
            if let Some((path, literal)) = text.split_once(sign) {
                let literal = literal.trim();
                let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
                let literal = (!inner.contains(['\'', '\\'])).then(|| Json::String(inner.to_owned()))?;
                return plain(path, Test::Equals(literal), wanted);
            }
        }
        match text.strip_prefix("not ") {
            Some(path) => plain(path, Test::True, false),
            None => plain(text, Test::True, true),
        }
    }

    fn holds(&self, from: &Json, path: &Path, when_absent: bool) -> bool {
        let is_so = match (&self.test, path.find(from)) {
            (_, Found::Absent) => return when_absent,
            (Test::Equals(literal), Found::Value(value)) => *value == *literal,
            (Test::True, Found::Value(value)) => is_true(&value),
            (Test::Defined, _) => true,
            (_, Found::Empty) => false,
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

struct CondVisitor;

impl Visitor<'_> for CondVisitor {
    type Value = Cond;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition, true or false")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Cond, E> {
        self.visit_str(if flag { "true" } else { "false" })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cond, E> {
        Cond::compile(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Cond {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CondVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_cond(text: &str, body: Json, on: bool, as_record: bool) {
        let cond = Cond::compile(text).unwrap();
        assert_eq!(cond.holds_on(&body), on, "{text} on {body}");
        assert_eq!(cond.holds(&Context::of(&body)), on, "{text} on {body}, by the engine");
        let inner = Cond::compile(&text.replace("active", "record.active")).unwrap();
        assert_eq!(inner.holds_for("record", &body), as_record, "{text} for {body}");
    }

    #[test]
    fn conditions_simple_and_not() {
        check_cond("active", json!({"active": true}), true, true);
        check_cond("not active", json!({"active": false}), true, true);
        check_cond("not active", json!({"active": 0}), true, true);
        check_cond("not active", json!({"active": null}), true, true);
        check_cond("not active", json!({}), true, false);
        check_cond("{{ not active }}", json!({"active": 1}), false, false);
        check_cond("active == 'x'", json!({"active": "x"}), true, true);
        check_cond("active != 'x'", json!({}), true, false);
        check_cond("active in ['x', 'y']", json!({"active": "y"}), true, true);
        check_cond("active is undefined", json!({}), true, true);
        check_cond("active is undefined", json!({"active": null}), false, false);
        check_cond("active is defined", json!({"active": 0}), true, true);
        check_cond("active is defined", json!({}), false, false);
        check_cond("active.a.b == 1", json!({"active": "y"}), false, false);
        check_cond("true", json!({}), true, true);
    }
}
