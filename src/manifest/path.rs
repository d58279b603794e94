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
use serde_json::{Map, Value as Json};

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
        let mut parts = split_outside(text, '|').into_iter();
        let mut steps = parse_steps(parts.next().unwrap_or_default().trim()).map_err(bad)?;
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
        put(root, &self.steps, value, clear);
    }
}

fn parse_steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    let mut name_wanted = true;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let inner_and_rest = split_once_outside(after, ']').ok_or("`[` is not closed")?;
            steps.push(parse_selector(inner_and_rest.0.trim())?);
            rest = inner_and_rest.1;
            name_wanted = false;
        } else if let Some(after) = rest.strip_prefix('.') {
            if name_wanted {
                return Err("a name is missing before `.`".to_owned());
            }
            rest = after;
            name_wanted = true;
        } else if name_wanted {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            steps.push(match name.trim() {
                "" => return Err("a name is missing".to_owned()),
                "$json" => Step::Embedded,
                name if name.contains(char::is_whitespace) => return Err(format!("`{name}` contains a space")),
                name => Step::Name(name.into()),
            });
            rest = after;
            name_wanted = false;
        } else {
            return Err("a `.` is missing".to_owned());
        }
    }
    if name_wanted {
        return Err("it ends with nothing".to_owned());
    }
    Ok(steps)
}

fn parse_selector(inner: &str) -> Result<Step, String> {
    if inner == "*" {
        return Ok(Step::Every);
    }
    if let Ok(index) = inner.parse() {
        return Ok(Step::At(index));
    }
    if let Some(name) = quoted(inner) {
        return Ok(Step::Name(name.into()));
    }
    let Some(filter) = inner.strip_prefix('?') else {
        return if inner.is_empty() {
            Err("nothing stands between `[` and `]`".to_owned())
        } else {
            Ok(Step::Key(inner.into()))
        };
    };
    for (sign, wanted) in [("==", true), ("!=", false)] {
        if let Some((name, value)) = filter.split_once(sign) {
            let value = value.trim();
            let value = match quoted(value) {
                Some(text) => Json::String(text.to_owned()),
                None => serde_json::from_str(value).map_err(|_| format!("`{value}` is not a value; quote text"))?,
            };
            return Ok(Step::Equals {
                name: name.trim().into(),
                value,
                wanted,
            });
        }
    }
    Ok(match filter.strip_prefix('!') {
        Some(name) => Step::Flag {
            name: name.trim().into(),
            wanted: false,
        },
        None => Step::Flag {
            name: filter.trim().into(),
            wanted: true,
        },
    })
}

/// The text between a pair of quotes.
fn quoted(text: &str) -> Option<&str> {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// Splits at the first `stop` that does not stand between quotes.
fn split_once_outside(text: &str, stop: char) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None if letter == stop => return Some((text.get(..at)?, text.get(at + letter.len_utf8()..)?)),
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            None => {}
        }
    }
    None
}

fn split_outside(text: &str, stop: char) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((head, tail)) = split_once_outside(rest, stop) {
        out.push(head);
        rest = tail;
    }
    out.push(rest);
    out
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
        _ => Vec::new(),
    }
}

fn put(at: &mut Json, steps: &[Step], value: Option<Json>, clear: &Json) {
    let Some((step, rest)) = steps.split_first() else {
        *at = value.unwrap_or_else(|| clear.clone());
        return;
    };
    match step {
        Step::Name(name) => put(member(at, name), rest, value, clear),
        Step::Key(name) if at.is_object() => put(member(at, name), rest, value, clear),
        Step::Embedded => put_embedded(at, rest, value, clear),
        Step::Every => put_every(at, rest, value, clear),
        Step::At(index) => change_list(at, |items| put_at(items, *index, rest, value, clear)),
        Step::Flag { .. } | Step::Equals { .. } | Step::Key(_) => {
            change_list(at, |items| put_fitting(items, step, rest, value, clear));
        }
        Step::Lower | Step::Text => put(at, rest, value, clear),
    }
}

fn member<'a>(at: &'a mut Json, name: &str) -> &'a mut Json {
    if !at.is_object() {
        *at = Json::Object(Map::new());
    }
    match at {
        Json::Object(map) => map.entry(name).or_insert(Json::Null),
        other => other,
    }
}

/// Changes a list in place; whatever else stood there makes room for one.
fn change_list(at: &mut Json, change: impl FnOnce(&mut Vec<Json>)) {
    let mut items = match at.take() {
        Json::Array(items) => items,
        _ => Vec::new(),
    };
    change(&mut items);
    *at = Json::Array(items);
}

fn put_embedded(at: &mut Json, rest: &[Step], value: Option<Json>, clear: &Json) {
    let text = at.as_str().unwrap_or_default();
    // What a person typed there stays: it moves into the object as `text`.
    let mut inner = match embedded(text) {
        Some(inner) => inner,
        None if text.trim().is_empty() => Json::Object(Map::new()),
        None => serde_json::json!({ "text": text }),
    };
    match (&value, rest) {
        (None, [Step::Name(name)]) => {
            if let Some(map) = inner.as_object_mut() {
                map.shift_remove(name.as_str());
            }
        }
        _ => put(&mut inner, rest, value, clear),
    }
    *at = Json::String(inner.to_string());
}

fn put_every(at: &mut Json, rest: &[Step], value: Option<Json>, clear: &Json) {
    let items = match value {
        Some(Json::Array(items)) => items,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let made = items.into_iter().map(|item| {
        let mut element = Json::Null;
        put(&mut element, rest, Some(item), clear);
        element
    });
    *at = Json::Array(made.collect());
}

fn put_at(items: &mut Vec<Json>, index: i64, rest: &[Step], value: Option<Json>, clear: &Json) {
    let index = usize::try_from(index).unwrap_or(0).min(items.len());
    match value {
        None if index < items.len() => drop(items.remove(index)),
        None => {}
        Some(value) => {
            if index == items.len() {
                items.push(Json::Null);
            }
            if let Some(item) = items.get_mut(index) {
                put(item, rest, Some(value), clear);
            }
        }
    }
}

fn put_fitting(items: &mut Vec<Json>, step: &Step, rest: &[Step], value: Option<Json>, clear: &Json) {
    let place = items.iter().position(|item| step.fits(item));
    match (place, value) {
        (Some(place), None) => drop(items.remove(place)),
        (None, None) => {}
        (Some(place), Some(value)) => {
            if let Some(item) = items.get_mut(place) {
                put(item, rest, Some(value), clear);
            }
        }
        (None, Some(value)) => {
            let mut item = Json::Object(Map::new());
            match step {
                Step::Flag { name, wanted: true } | Step::Key(name) => *member(&mut item, name) = Json::Bool(true),
                Step::Equals {
                    name,
                    value,
                    wanted: true,
                } => *member(&mut item, name) = value.clone(),
                _ => {}
            }
            put(&mut item, rest, Some(value), clear);
            items.push(item);
        }
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
    fn check_put(path: &str, from: Json, to: Option<Json>, expected: Json) {
        let mut root = from;
        Path::parse(path).unwrap().put(&mut root, to, &json!(""));
        assert_eq!(root, expected, "{path}");
    }

    #[test]
    fn writing() {
        check_put("a.b", json!({}), Some(json!(1)), json!({"a": {"b": 1}}));
        check_put(
            "a.b",
            json!({"a": {"b": 1, "c": 2}}),
            None,
            json!({"a": {"b": "", "c": 2}}),
        );
        let two = json!({"emails": [{"value": "x"}, {"value": "y", "primary": true, "label": "work"}]});
        check_put(
            "emails[primary].value",
            two.clone(),
            Some(json!("z")),
            json!({"emails": [{"value": "x"}, {"value": "z", "primary": true, "label": "work"}]}),
        );
        check_put("emails[primary].value", two, None, json!({"emails": [{"value": "x"}]}));
        check_put(
            "ways[?type=='email'].value",
            json!({}),
            Some(json!("z")),
            json!({"ways": [{"type": "email", "value": "z"}]}),
        );
        check_put(
            "tags[*].name",
            json!({}),
            Some(json!(["a"])),
            json!({"tags": [{"name": "a"}]}),
        );
        check_put(
            "note.$json.phone",
            json!({"note": null}),
            Some(json!("5")),
            json!({"note": "{\"phone\":\"5\"}"}),
        );
        check_put(
            "note.$json.phone",
            json!({"note": "{\"phone\":\"5\"}"}),
            None,
            json!({"note": "{}"}),
        );
        check_put(
            "note.$json.phone",
            json!({"note": "call back"}),
            Some(json!("5")),
            json!({"note": "{\"text\":\"call back\",\"phone\":\"5\"}"}),
        );
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
