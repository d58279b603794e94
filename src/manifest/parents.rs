//! Lists that hang below other objects: one for each service desk, for each shop.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value as Json;

use super::body::Body;
use super::lint::{Lint, unasked};
use super::object::Object;
use super::paging::Paging;
use super::path::Path;
use super::scalar::Request;
use super::value;

/// The objects below which a stream is listed: it is read once for each (`parent` in expressions: its id), has a position for
/// each, and only a sweep over all of them proves that something is absent. A new one is read from its beginning; one that
/// the tool does not list any more is left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parents {
    /// These and no others, where it says any: a list, or a text with commas between them.
    #[serde(default)]
    pub named: Option<Body>,
    /// How the tool lists them.
    #[serde(default)]
    pub list: Option<ParentList>,
    /// The id of an object is its own below one parent only: Nivel's is `PARENT/ID`, which `get` (`parent`, `id`) takes apart
    /// again. Such objects are read and never written.
    #[serde(default)]
    pub in_id: bool,
}

/// How a tool lists the parents.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentList {
    /// The request of a page.
    pub request: Request,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, Body>,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Where they are in the answer.
    pub records: Path,
    /// Where one has its id.
    pub id: Path,
    /// How the next page is asked for; one page is all when left out.
    #[serde(default)]
    pub page: Option<Paging>,
}

impl Parents {
    /// Where they are named, for a person.
    #[must_use]
    pub fn words(&self) -> String {
        let asked = self.list.as_ref().map(|list| list.request.path.to_string());
        let named = self.named.iter().flat_map(Body::names);
        named.chain(asked).collect::<Vec<_>>().join(", else ")
    }

    /// The parents that a value names: a list, or a text with commas between them; none for everything else.
    #[must_use]
    pub fn named_in(value: &Json) -> BTreeSet<CompactString> {
        let texts: Vec<CompactString> = match value {
            Json::Array(items) => items.iter().filter_map(text_of).collect(),
            other => text_of(other).map_or_else(Vec::new, |text| text.split(',').map(CompactString::from).collect()),
        };
        let trimmed = texts.iter().map(|text| CompactString::from(text.trim()));
        trimmed.filter(|text| !text.is_empty()).collect()
    }
}

fn text_of(value: &Json) -> Option<CompactString> {
    let text = value::scalar_text(value).ok()?;
    (!value.is_null()).then(|| text.as_ref().into())
}

fn names_of<'a>(request: &Request, bodies: impl IntoIterator<Item = &'a Body>) -> BTreeSet<String> {
    let mut names = request.path.names();
    names.extend(bodies.into_iter().flat_map(Body::names));
    names
}

/// What is said of parents must not leave out a list, nor confuse objects of two of them.
pub(super) fn check(lint: &mut Lint<'_>, name: &str, object: &Object) {
    let path = format!("objects.{name}.read.parents");
    let Some((read, parents)) = object
        .read
        .as_ref()
        .and_then(|read| Some((read, read.parents.as_ref()?)))
    else {
        return;
    };
    if parents.named.is_none() && parents.list.is_none() {
        let hint = "`list: {request: …, records: …, id: …}`, or `named: \"{{ config.… }}\"`";
        lint.sense(&path, "nothing says which there are", hint);
    }
    let bodies = read.headers.values().chain(read.query.values()).chain(&read.body);
    if !names_of(&read.request, bodies).contains("parent") {
        lint.sense(
            &path,
            "the request does not say below which one it lists",
            "use `parent`",
        );
    }
    if let Some(list) = &parents.list {
        let used = names_of(&list.request, list.headers.values().chain(list.query.values()));
        if let Some(word) = unasked(list.page.as_ref(), &used) {
            let hint = format!("use `{word}` in the request, or `to`");
            lint.sense(&format!("{path}.list.page"), "the next page is never asked for", hint);
        }
    }
    if !parents.in_id {
        return;
    }
    let words = [
        ("write", object.write.is_some()),
        ("notes", object.notes.is_some()),
        ("consent", !object.consent.is_empty()),
        ("attach", !object.attach.is_empty()),
        ("deletes", read.deletes.is_some()),
    ];
    for (word, _) in words.iter().filter(|(_, is_there)| *is_there) {
        let message = format!("`in_id` and `{word}` exclude each other: such objects are only read");
        lint.sense(&path, message, "");
    }
    if let Some(get) = &object.get {
        let used = names_of(
            &get.request,
            get.headers.values().chain(get.query.values()).chain(&get.body),
        );
        if get.max > 1 || !used.contains("parent") {
            let message = "an id with its parent in it is asked for alone, below that `parent`";
            lint.sense(&format!("objects.{name}.get"), message, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::{Manifest, lint};

    #[track_caller]
    fn check(value: &Json, expected: &[&str]) {
        let named = Parents::named_in(value);
        assert_eq!(
            named.iter().map(CompactString::as_str).collect::<Vec<_>>(),
            expected,
            "{value}"
        );
    }

    const GOOD: &str = "connector: test\nformat: 1\nbase: https://h.example\nconfig: {desks: {optional: true}, token: {}}\nauth: {bearer: \"{{ config.token }}\"}\ncheck: GET /me\nerrors: [{status: 401, class: auth}]\nobjects:\n  thing:\n    id: id\n    read:\n      full: {every: 1d}\n      parents: {named: \"{{ config.desks }}\", in_id: true, list: {request: GET /desks, records: rows, id: id, page: {by: page, to: query.page}}}\n      request: \"GET /desks/{{ parent }}/things\"\n      records: rows\n    get: {request: \"GET /desks/{{ parent }}/things/{{ id }}\", records: one}\n    fields: {full_name: name}\n";

    #[track_caller]
    fn check_lint(from: &str, to: &str, expected: &str) {
        assert!(GOOD.contains(from), "{from}");
        let manifest = Manifest::parse("m.yaml", &GOOD.replace(from, to)).unwrap();
        let told: Vec<String> = lint(&manifest).iter().map(ToString::to_string).collect();
        if expected.is_empty() {
            assert_eq!(told, Vec::<String>::new());
        }
        assert!(
            told.iter().any(|told| told.contains(expected)) || expected.is_empty(),
            "{told:?}"
        );
    }

    #[test]
    fn parents_that_leave_something_out_are_told() {
        check_lint("rows", "rows", "");
        check_lint(
            "/{{ parent }}/things\"\n",
            "/things\"\n",
            "does not say below which one it lists",
        );
        check_lint(
            "{by: page, to: query.page}",
            "{by: page}",
            "the next page is never asked for",
        );
        check_lint(
            "/{{ parent }}/things/{{ id",
            "/things/{{ id",
            "is asked for alone, below that `parent`",
        );
        check_lint(
            ", records: one}",
            ", max: 2, records: one}",
            "is asked for alone, below that `parent`",
        );
        check_lint(
            "    fields: {",
            "    write: {update: {request: PUT /x, by: id, answer: status}}\n    fields: {",
            "`in_id` and `write` exclude each other",
        );
        let nothing = "parents: {in_id: true}\n      request: \"GET /{{ config.desks }}";
        let (all, rest) = GOOD.split_once("      parents:").unwrap();
        let rest = rest.split_once("request: \"GET ").unwrap().1;
        let manifest = Manifest::parse("m.yaml", &format!("{all}      {nothing}{rest}")).unwrap();
        assert!(
            lint(&manifest)
                .iter()
                .any(|told| told.message == "nothing says which there are")
        );
        // The word belongs to streams with parents only.
        check_lint(
            "{{ config.desks }}\", in_id",
            "{{ parent }}\", in_id",
            "`parent` is not known here",
        );
    }

    #[test]
    fn parents_are_named_by_a_list_or_by_a_text() {
        check(&json!("3"), &["3"]);
        check(&json!(" b, a ,,b"), &["a", "b"]);
        check(&json!(["b", 7, " "]), &["7", "b"]);
        check(&json!(12), &["12"]);
        for nothing in [json!(null), json!(""), json!([]), json!({"a": 1})] {
            check(&nothing, &[]);
        }
    }
}
