//! Paths into JSON: `a.b[0].c`, `rows[?success]`, `emails[primary].value`, `note.$json.phone`.
//!
//! | step | means |
//! | --- | --- |
//! | `name`, `["odd.name"]` | a member |
//! | `[2]`, `[-1]` | an element, from the front or the back |
//! | `[*]` | every element |
//! | `[?flag]`, `[?!flag]` | elements whose member `flag` is true (not false, null, 0 or empty), or is not |
//! | `[?type=='email']`, `[?type!='email']` | elements whose member is equal, or is not |
//! | `[name]` | in a list as `[?name]`, in an object the member |
//! | `$json` | text that holds JSON, read |
//! | `\| lower`, `\| text` | the value in lower case; as text (at the end only) |
//!
//! Compiled once; looking a value up allocates nothing unless the path reads JSON out of text.

use std::borrow::Cow;
use std::fmt;

use compact_str::CompactString;
use serde_json::Value as Json;

mod parse;
mod put;

/// The deepest JSON that `$json` reads out of text, and the longest such text in bytes.
const EMBEDDED_BYTES_MAX: usize = 64 * 1024;

/// A compiled path. The empty path (written `.` or `one`) is the whole value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    text: CompactString,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Name(CompactString),
    At(i64),
    Every,
    Flag {
        name: CompactString,
        wanted: bool,
    },
    Equals {
        name: CompactString,
        value: Json,
        wanted: bool,
    },
    Key(CompactString),
    Embedded,
    Lower,
    Text,
}

/// What a path leads to. Three-valued, as fields are.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    /// The object does not say.
    Absent,
    /// It says that there is nothing: null, or no element that fits.
    Empty,
    /// A value.
    Value(Cow<'a, Json>),
}

impl<'a> Found<'a> {
    /// The value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<Cow<'a, Json>> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Empty => None,
        }
    }

    fn into_owned(self) -> Found<'static> {
        match self {
            Self::Absent => Found::Absent,
            Self::Empty => Found::Empty,
            Self::Value(value) => Found::Value(Cow::Owned(value.into_owned())),
        }
    }
}

/// The text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a path: {why}")]
pub struct BadPath {
    text: String,
    why: String,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "." } else { &self.text })
    }
}

impl Path {
    /// Compiles a path.
    ///
    /// # Errors
    /// When the text does not follow the grammar above.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let text = text.trim();
        if matches!(text, "." | "one") {
            return Ok(Self::default());
        }
        let bad = |why: String| BadPath {
            text: text.to_owned(),
            why,
        };
        let mut parts = parse::split_outside(text, '|').into_iter();
        let mut steps = parse::steps(parts.next().unwrap_or_default().trim()).map_err(bad)?;
        for pipe in parts {
            steps.push(match pipe.trim() {
                "lower" => Step::Lower,
                "text" => Step::Text,
                other => return Err(bad(format!("no function `{other}`; there are `lower` and `text`"))),
            });
        }
        Ok(Self {
            text: text.into(),
            steps,
        })
    }

    /// True for the path that is the whole value.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// This path below another one.
    #[must_use]
    pub fn under(&self, base: &Self) -> Self {
        if base.is_root() {
            return self.clone();
        }
        if self.is_root() {
            return base.clone();
        }
        let dot = if self.text.starts_with('[') { "" } else { "." };
        Self {
            text: format!("{}{dot}{}", base.text, self.text).into(),
            steps: base.steps.iter().chain(&self.steps).cloned().collect(),
        }
    }

    /// This path as seen from below the member `name`; `None` when it leads elsewhere.
    #[must_use]
    pub fn below(&self, name: &str) -> Option<Self> {
        let (first, rest) = self.steps.split_first()?;
        matches!(first, Step::Name(first) if first == name).then(|| Self {
            text: CompactString::default(),
            steps: rest.to_vec(),
        })
    }

    /// The names that lead down to the first step that is not a name.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.steps
            .iter()
            .map_while(|step| match step {
                Step::Name(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }

    /// True when every step is a name: writing there touches nothing beside it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Name(_)))
    }

    /// The first value the path leads to.
    #[must_use]
    pub fn find<'a>(&self, from: &'a Json) -> Found<'a> {
        walk(from, &self.steps, false)
    }

    /// Every value the path leads to; a list at its end counts as its elements, null as nothing.
    #[must_use]
    pub fn all<'a>(&self, from: &'a Json) -> Vec<Cow<'a, Json>> {
        let mut out = Vec::new();
        gather(Cow::Borrowed(from), &self.steps, &mut out);
        out
    }

    /// As [`Self::all`], for lists of objects.
    #[must_use]
    pub fn rows<'a>(&self, from: &'a Json) -> Vec<Cow<'a, Json>> {
        self.all(from)
    }

    /// Puts a value where the path leads, making what is missing on the way. `None` clears: a member takes the value
    /// `clear`, an element that fits is removed, a member of embedded JSON is removed.
    pub fn put(&self, root: &mut Json, value: Option<Json>, clear: &Json) {
        put::put(root, &self.steps, value, clear);
    }
}

/// What counts as yes in a flag.
fn is_true(value: Option<&Json>) -> bool {
    match value {
        None | Some(Json::Null | Json::Bool(false)) => false,
        Some(Json::Bool(true) | Json::Object(_)) => true,
        Some(Json::Number(number)) => number.as_f64().is_some_and(|number| number.abs() > 0.0),
        Some(Json::String(text)) => !text.is_empty() && text != "false" && text != "0",
        Some(Json::Array(items)) => !items.is_empty(),
    }
}

impl Step {
    /// True when a list's element fits this step.
    fn fits(&self, item: &Json) -> bool {
        match self {
            Self::Every => true,
            Self::Flag { name, wanted } => is_true(item.get(name.as_str())) == *wanted,
            Self::Key(name) => is_true(item.get(name.as_str())),
            Self::Equals { name, value, wanted } => {
                (item.get(name.as_str()).unwrap_or(&Json::Null) == value) == *wanted
            }
            _ => false,
        }
    }
}

fn element(items: &[Json], index: i64) -> Option<&Json> {
    let from_back = || items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
    let at = if index < 0 {
        from_back()?
    } else {
        usize::try_from(index).ok()?
    };
    items.get(at)
}

fn embedded(text: &str) -> Option<Json> {
    (text.len() <= EMBEDDED_BYTES_MAX)
        .then(|| serde_json::from_str::<Json>(text).ok())
        .flatten()
        .filter(|value| value.is_object() || value.is_array())
}

fn lower(value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(text.to_lowercase()),
        other => other.clone(),
    }
}

fn as_text(value: &Json) -> Json {
    match value {
        Json::String(_) | Json::Null => value.clone(),
        other => Json::String(other.to_string()),
    }
}

/// `inside` is true below `$json`: a member that is missing there was removed by us, so it is known to be empty.
fn walk<'a>(at: &'a Json, steps: &[Step], inside: bool) -> Found<'a> {
    let missing = if inside { Found::Empty } else { Found::Absent };
    let Some((step, rest)) = steps.split_first() else {
        return if at.is_null() {
            Found::Empty
        } else {
            Found::Value(Cow::Borrowed(at))
        };
    };
    if at.is_null() {
        return Found::Empty;
    }
    match (step, at) {
        (Step::Name(name) | Step::Key(name), Json::Object(map)) => match map.get(name.as_str()) {
            Some(next) => walk(next, rest, inside),
            None => missing,
        },
        (Step::At(index), Json::Array(items)) => match element(items, *index) {
            Some(next) => walk(next, rest, inside),
            None => Found::Empty,
        },
        (Step::Every | Step::Flag { .. } | Step::Equals { .. } | Step::Key(_), Json::Array(items)) => items
            .iter()
            .filter(|item| step.fits(item))
            .map(|item| walk(item, rest, inside))
            .find(|found| matches!(found, Found::Value(_)))
            .unwrap_or(Found::Empty),
        // One object is asked like a list of one: `Owner[?id!='Nobody']`.
        (Step::Flag { .. } | Step::Equals { .. }, Json::Object(_)) if step.fits(at) => walk(at, rest, inside),
        (Step::Flag { .. } | Step::Equals { .. }, Json::Object(_)) => Found::Empty,
        (Step::Embedded, Json::String(text)) if text.trim().is_empty() => Found::Empty,
        (Step::Embedded, Json::String(text)) => match embedded(text) {
            Some(value) => walk(&value, rest, true).into_owned(),
            None => Found::Absent,
        },
        (Step::Embedded, _) => walk(at, rest, true),
        (Step::Lower, _) => walk(&lower(at), rest, inside).into_owned(),
        (Step::Text, _) => walk(&as_text(at), rest, inside).into_owned(),
        _ => missing,
    }
}

fn gather<'a>(at: Cow<'a, Json>, steps: &[Step], out: &mut Vec<Cow<'a, Json>>) {
    let Some((step, rest)) = steps.split_first() else {
        match at {
            Cow::Borrowed(Json::Array(items)) => out.extend(items.iter().map(Cow::Borrowed)),
            Cow::Owned(Json::Array(items)) => out.extend(items.into_iter().map(Cow::Owned)),
            other if other.is_null() => {}
            other => out.push(other),
        }
        return;
    };
    match step {
        Step::Lower => return gather(Cow::Owned(lower(&at)), rest, out),
        Step::Text => return gather(Cow::Owned(as_text(&at)), rest, out),
        Step::Embedded => {
            if let Some(value) = at.as_str().and_then(embedded) {
                gather(Cow::Owned(value), rest, out);
            }
            return;
        }
        _ => {}
    }
    match at {
        Cow::Borrowed(value) => {
            for next in below(value, step) {
                gather(Cow::Borrowed(next), rest, out);
            }
        }
        Cow::Owned(value) => {
            for next in below(&value, step) {
                gather(Cow::Owned(next.clone()), rest, out);
            }
        }
    }
}

fn below<'a>(at: &'a Json, step: &Step) -> Vec<&'a Json> {
    match (step, at) {
        (Step::Name(name) | Step::Key(name), Json::Object(map)) => map.get(name.as_str()).into_iter().collect(),
        (Step::At(index), Json::Array(items)) => element(items, *index).into_iter().collect(),
        (_, Json::Array(items)) => items.iter().filter(|item| step.fits(item)).collect(),
        (Step::Flag { .. } | Step::Equals { .. }, Json::Object(_)) if step.fits(at) => vec![at],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(path: &str, from: &Json, expected: Found<'_>) {
        assert_eq!(Path::parse(path).unwrap().find(from), expected, "{path}");
    }

    fn value(value: Json) -> Found<'static> {
        Found::Value(Cow::Owned(value))
    }

    #[test]
    fn lookups() {
        let person = json!({
            "id": 7, "a": {"b": [{"c": 1}, {"c": 2}], "odd.name": true}, "nothing": null,
            "emails": [{"value": "x", "primary": false}, {"value": "y", "primary": true}],
            "ways": [{"type": "phone", "value": "1"}, {"type": "email", "value": "E"}],
            "note": "{\"phone\":\"5\",\"n\":null}", "plain": "call back", "blank": "",
        });
        check("id", &person, value(json!(7)));
        check("a.b[1].c", &person, value(json!(2)));
        check("a.b[-1].c", &person, value(json!(2)));
        check("a.b[9].c", &person, Found::Empty);
        check("a[\"odd.name\"]", &person, value(json!(true)));
        check("emails[primary].value", &person, value(json!("y")));
        check("emails[?primary].value", &person, value(json!("y")));
        check("emails[?!primary].value", &person, value(json!("x")));
        check("a[b][0].c", &person, value(json!(1)));
        check("ways[?type=='email'].value | lower", &person, value(json!("e")));
        check("ways[?type=='fax'].value", &person, Found::Empty);
        check("ways[?type!='phone'].value", &person, value(json!("E")));
        check("nothing", &person, Found::Empty);
        check("nothing.below", &person, Found::Empty);
        check("unknown", &person, Found::Absent);
        check("id.below", &person, Found::Absent);
        check("id | text", &person, value(json!("7")));
        check("note.$json.phone", &person, value(json!("5")));
        check("note.$json.removed", &person, Found::Empty);
        check("plain.$json.phone", &person, Found::Absent);
        check("blank.$json.phone", &person, Found::Empty);
        check(".", &json!(3), value(json!(3)));
    }

    #[track_caller]
    fn check_all(path: &str, from: &Json, expected: Json) {
        let all = Path::parse(path).unwrap().all(from).into_iter().map(Cow::into_owned);
        assert_eq!(Json::Array(all.collect()), expected, "{path}");
    }

    #[test]
    fn rows_and_lists() {
        let answer = json!({"rows": [{"ok": true, "id": 1}, {"ok": false, "id": 2}], "tags": ["a", "b"], "none": null});
        check_all("rows", &answer, json!([{"ok": true, "id": 1}, {"ok": false, "id": 2}]));
        check_all("rows[?ok].id", &answer, json!([1]));
        check_all("rows[?!ok].id", &answer, json!([2]));
        check_all("rows[*].id", &answer, json!([1, 2]));
        check_all("tags", &answer, json!(["a", "b"]));
        check_all("none", &answer, json!([]));
        check_all("one", &json!({"id": 1}), json!([{"id": 1}]));
        check_all(".", &json!([1, 2]), json!([1, 2]));
    }

    #[track_caller]
    fn check_bad(path: &str) {
        assert!(Path::parse(path).is_err(), "{path}");
    }

    #[test]
    fn bad_paths() {
        for path in [
            "", "a.", ".a", "a..b", "a[", "a[]", "a b", "a | loud", "a[?b==c]", "a[0]b",
        ] {
            check_bad(path);
        }
    }

    #[test]
    fn a_path_below_another() {
        let base = Path::parse("properties").unwrap();
        assert_eq!(
            Path::parse("x").unwrap().under(&base),
            Path::parse("properties.x").unwrap()
        );
        assert_eq!(Path::parse("[0]").unwrap().under(&base).to_string(), "properties[0]");
    }
}
