//! A draft out of an OpenAPI 3 (or Swagger 2) description. It is taken for what it is: written by somebody, perhaps wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::guess::{self, Use};
use super::{Draft, DraftParents, Login, Pages, Way};

/// The largest description that is read, in bytes.
const BYTES_MAX: usize = 16 << 20;
/// How many references lead to one another.
const REFS_MAX: usize = 20;
/// How deep members of an object are looked at.
const DEPTH_MAX: usize = 2;
/// How many members of an object are looked at.
const MEMBERS_MAX: usize = 200;

/// What a description has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The best list of people.
    pub draft: Draft,
    /// Other lists: their paths.
    pub others: Vec<String>,
}

/// Proposes a manifest; `path` names the list, else the one that looks most like people is taken.
///
/// # Errors
/// Why the description is of no use.
pub fn propose(name: &str, text: &str, path: Option<&str>) -> Result<Proposal, String> {
    let spec = Spec(parse(text)?);
    let mut lists: Vec<List<'_>> = spec.lists();
    lists.sort_by(|a, b| (b.rank(), a.path).cmp(&(a.rank(), b.path)));
    let at = match path {
        Some(wanted) => lists.iter().position(|list| list.path == wanted),
        None => (!lists.is_empty()).then_some(0),
    };
    let Some(at) = at else {
        let known: Vec<&str> = lists.iter().map(|list| list.path).collect();
        return Err(match (path, known.is_empty()) {
            (Some(path), false) => format!("has no list at `{path}`; it has {}", known.join(", ")),
            _ => "has no request that answers with a list of objects".to_owned(),
        });
    };
    let list = lists.remove(at);
    let others = lists.iter().map(|list| list.path.to_owned()).collect();
    Ok(Proposal {
        draft: spec.draft(name, &list),
        others,
    })
}

fn parse(text: &str) -> Result<Json, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("is larger than {BYTES_MAX} bytes"));
    }
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"));
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 100,
            max_nodes: 1_000_000,
        },
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("is not YAML: {}", error.to_string().lines().next().unwrap_or_default()))
}

struct Spec(Json);

/// A request that lists objects.
struct List<'a> {
    path: &'a str,
    get: &'a Json,
    /// Where the objects are; empty when the answer is the list.
    records: String,
    /// The answer's schema.
    answer: &'a Json,
    /// The members of an object: path, type in our words.
    members: Vec<(String, &'static str)>,
    /// What there is a list of this kind for: `/shops` of `/shops/{id}/customers`.
    parents: Option<&'a str>,
}

impl List<'_> {
    /// How much it looks like people.
    fn rank(&self) -> u32 {
        let has = |wanted: &str| {
            self.members
                .iter()
                .any(|(path, hint)| guess::field(path, hint).is_some_and(|field| field.name == wanted))
        };
        let word = guess::singular(self.path.rsplit('/').next().unwrap_or_default());
        let is_named =
            ["person", "contact", "customer", "member", "user", "lead", "subscriber"].contains(&word.as_str());
        let rank = u32::from(has("email")) * 4 + u32::from(is_named) * 2 + u32::from(has("phone"));
        // A list of everybody goes before those of some.
        rank.saturating_sub(if self.parents.is_some() { 3 } else { 0 })
    }
}

impl Spec {
    /// Follows a reference within the description.
    fn follow<'a>(&'a self, mut at: &'a Json) -> &'a Json {
        for _ in 0..REFS_MAX {
            let Some(target) = at.get("$ref").and_then(Json::as_str) else {
                return at;
            };
            at = target
                .strip_prefix('#')
                .and_then(|pointer| self.0.pointer(pointer))
                .unwrap_or(&Json::Null);
        }
        &Json::Null
    }

    fn paths(&self) -> impl Iterator<Item = (&str, &Json)> {
        let paths = self.0.get("paths").and_then(Json::as_object);
        paths
            .into_iter()
            .flatten()
            .map(|(path, item)| (path.as_str(), self.follow(item)))
    }

    fn lists(&self) -> Vec<List<'_>> {
        let lists = self.paths().filter_map(|(path, item)| {
            let parents = match path.matches('{').count() {
                0 => None,
                1 => Some(path.split_once("/{").filter(|(_, rest)| !rest.ends_with('}'))?.0),
                _ => return None,
            };
            Some(List {
                parents,
                ..self.list(path, item)?
            })
        });
        let lists: Vec<_> = lists.collect();
        let paths: BTreeSet<&str> = lists.iter().map(|list| list.path).collect();
        let is_known = |list: &List<'_>| list.parents.is_none_or(|path| paths.contains(path));
        lists.into_iter().filter(is_known).collect()
    }

    fn list<'a>(&'a self, path: &'a str, item: &'a Json) -> Option<List<'a>> {
        let get = item.get("get")?;
        let answer = self.schema_of_answer(get)?;
        let (records, row) = match self.rows(answer) {
            Some(row) => (String::new(), row),
            // Of several lists the one with the largest rows: others hold links, or columns.
            None => {
                let lists = self.properties(answer).into_iter();
                let lists = lists.filter_map(|(name, schema)| Some((name, self.rows(schema)?)));
                lists.rev().max_by_key(|(_, row)| self.properties(row).len())?
            }
        };
        let mut members = Vec::new();
        self.members(row, "", 0, &mut members);
        (!members.is_empty()).then_some(List {
            path,
            get,
            records,
            answer,
            members,
            parents: None,
        })
    }

    fn schema_of_answer<'a>(&'a self, operation: &'a Json) -> Option<&'a Json> {
        let answers = operation.get("responses")?.as_object()?;
        let good = answers.iter().find(|(status, _)| status.starts_with('2'))?.1;
        let good = self.follow(good);
        self.content(good)
            .or_else(|| good.get("schema"))
            .map(|schema| self.follow(schema))
    }

    fn content<'a>(&'a self, at: &'a Json) -> Option<&'a Json> {
        let content = at.get("content")?.as_object()?;
        content.iter().find(|(kind, _)| kind.contains("json"))?.1.get("schema")
    }

    /// The schema of the rows of an array of objects.
    fn rows<'a>(&'a self, schema: &'a Json) -> Option<&'a Json> {
        let items = self.follow(self.follow(schema).get("items")?);
        (!self.properties(items).is_empty()).then_some(items)
    }

    /// Members of an object, those of `allOf` among them.
    fn properties<'a>(&'a self, schema: &'a Json) -> Vec<(String, &'a Json)> {
        let schema = self.follow(schema);
        let parts = schema.get("allOf").and_then(Json::as_array).into_iter().flatten();
        let mut all: BTreeMap<String, &Json> = BTreeMap::new();
        for part in parts.map(|part| self.follow(part)).chain([schema]) {
            let members = part.get("properties").and_then(Json::as_object).into_iter().flatten();
            all.extend(
                members
                    .take(MEMBERS_MAX)
                    .map(|(name, schema)| (name.clone(), self.follow(schema))),
            );
        }
        all.into_iter().collect()
    }

    fn members(&self, schema: &Json, before: &str, depth: usize, out: &mut Vec<(String, &'static str)>) {
        for (name, member) in self.properties(schema) {
            let is_plain = name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if !is_plain || out.len() >= MEMBERS_MAX {
                continue;
            }
            let path = if before.is_empty() {
                name
            } else {
                format!("{before}.{name}")
            };
            match self.hint(member) {
                Some(hint) => out.push((path, hint)),
                None if depth < DEPTH_MAX => self.members(member, &path, depth + 1, out),
                None => {}
            }
        }
    }

    /// The type of a scalar in our words; `None` for an object, and for lists of these.
    fn hint(&self, schema: &Json) -> Option<&'static str> {
        let word = |name: &str| schema.get(name).and_then(Json::as_str).unwrap_or_default();
        // `type: [string, null]` of OpenAPI 3.1.
        let kinds = schema.get("type").and_then(Json::as_array);
        let kind = kinds.and_then(|kinds| kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null"));
        Some(match (kind.unwrap_or_else(|| word("type")), word("format")) {
            ("string", "email") => "email",
            ("string", "date-time") => "time",
            ("string", _) => "",
            ("boolean", _) => "bool",
            ("integer", _) => "int",
            ("number", _) => "number",
            ("array", _) => {
                let items = self.follow(schema.get("items")?);
                // A list of lists may be one of itself.
                if items.get("type").and_then(Json::as_str) == Some("array") {
                    return None;
                }
                return self.hint(items).map(|_| "set");
            }
            _ => return None,
        })
    }

    fn draft(&self, name: &str, list: &List<'_>) -> Draft {
        let info = |field: &str| {
            self.0
                .pointer(&format!("/info/{field}"))
                .and_then(Json::as_str)
                .unwrap_or_default()
        };
        let item = self.paths().find(|(path, _)| {
            let rest = path.strip_prefix(list.path).and_then(|rest| rest.strip_prefix("/{"));
            rest.and_then(|rest| rest.strip_suffix('}'))
                .is_some_and(|name| !name.contains('/'))
        });
        let listed = below_parent(list.path);
        let mut draft = Draft {
            name: name.to_owned(),
            parents: list.parents.and_then(|path| self.parents(path)),
            doc: info("title").to_owned(),
            base: self.base(),
            login: self.login(),
            check: list.parents.unwrap_or(list.path).to_owned(),
            object: guess::singular(list.path.rsplit('/').next().unwrap_or("object")),
            list: listed.clone(),
            records: list.records.clone(),
            id: self.id(list, item.map(|(path, _)| path)),
            ..Draft::default()
        };
        self.paging(list, &mut draft);
        draft.modified = list
            .members
            .iter()
            .find(|(path, _)| guess::is_modified(path))
            .map(|(path, hint)| (path.clone(), if *hint == "int" { "s" } else { "rfc3339" }.to_owned()));
        draft.create = self.way(
            list.path,
            "post",
            self.paths().find(|(path, _)| *path == list.path).map(|(_, item)| item),
        );
        if let Some((path, operations)) = item {
            let of_one = format!("{listed}/{{{{ id }}}}");
            draft.get = operations.get("get").map(|_| of_one.clone());
            draft.update = ["patch", "put"]
                .into_iter()
                .find_map(|method| self.way(path, method, Some(operations)));
            if let Some(way) = &mut draft.update {
                way.path = of_one;
            }
        }
        let mapped = list.members.iter().filter(|(path, _)| *path != draft.id);
        let mapped: Vec<_> = mapped.map(|(path, hint)| (path.as_str(), *hint)).collect();
        draft.map_by_name(mapped);
        if draft.parents.is_some() {
            // An id that is one below its parent only is no address for a change.
            (draft.create, draft.update, draft.find) = (None, None, None);
            let word =
                "an object's id is its own below one parent only (else leave out `in_id`, and it can be written)";
            draft.unverified.push(word.to_owned());
            draft.unverified.push("the parents stand in one answer".to_owned());
        }
        if draft.modified.as_ref().is_some_and(|(_, format)| format == "s") {
            draft
                .unverified
                .push("the time of the last change is in seconds since 1970".to_owned());
        }
        draft
    }

    fn parents(&self, path: &str) -> Option<DraftParents> {
        let (_, item) = self.paths().find(|(known, _)| *known == path)?;
        let list = self.list(path, item)?;
        Some(DraftParents {
            list: path.to_owned(),
            id: self.id(&list, None),
            records: list.records,
        })
    }

    fn base(&self) -> String {
        let server = self.0.pointer("/servers/0/url").and_then(Json::as_str);
        let host = || {
            let host = self.0.get("host").and_then(Json::as_str)?;
            let path = self.0.get("basePath").and_then(Json::as_str).unwrap_or_default();
            Some(format!("https://{host}{path}"))
        };
        let base = server.map(str::to_owned).or_else(host).unwrap_or_default();
        if base.starts_with("http") && !base.contains('{') {
            base
        } else {
            "https://api.example.com".to_owned()
        }
    }

    fn login(&self) -> Login {
        let schemes = self
            .0
            .pointer("/components/securitySchemes")
            .or_else(|| self.0.get("securityDefinitions"));
        let schemes = schemes.and_then(Json::as_object).into_iter().flatten();
        let schemes: Vec<&Json> = schemes.map(|(_, scheme)| self.follow(scheme)).collect();
        let word = |scheme: &Json, name: &str| {
            scheme
                .get(name)
                .and_then(Json::as_str)
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let find = |wanted: &dyn Fn(&Json) -> bool| schemes.iter().copied().find(|scheme| wanted(scheme));
        if find(&|scheme| word(scheme, "scheme") == "bearer").is_some() {
            return Login::Bearer;
        }
        if let Some(scheme) = find(&|scheme| word(scheme, "type") == "apikey" && word(scheme, "in") == "header") {
            return Login::Header(word(scheme, "name"));
        }
        match find(&|scheme| word(scheme, "scheme") == "basic" || word(scheme, "type") == "basic") {
            Some(_) => Login::Basic,
            None => Login::Bearer,
        }
    }

    fn id(&self, list: &List<'_>, item: Option<&str>) -> String {
        let has = |name: &str| list.members.iter().any(|(path, _)| path == name);
        let named = item
            .and_then(|path| path.rsplit_once('{'))
            .map(|(_, name)| name.trim_end_matches('}'));
        match named.filter(|name| has(name)) {
            Some(name) => name.to_owned(),
            None => ["id", "uuid", "_id", "key"]
                .into_iter()
                .find(|name| has(name))
                .unwrap_or("id")
                .to_owned(),
        }
    }

    fn parameters<'a>(&'a self, operation: &'a Json) -> Vec<(&'a str, &'a Json)> {
        let parameters = operation
            .get("parameters")
            .and_then(Json::as_array)
            .into_iter()
            .flatten();
        let parameters = parameters.map(|parameter| self.follow(parameter));
        let query = parameters.filter(|parameter| parameter.get("in").and_then(Json::as_str) == Some("query"));
        query
            .filter_map(|parameter| Some((parameter.get("name")?.as_str()?, parameter)))
            .collect()
    }

    fn paging(&self, list: &List<'_>, draft: &mut Draft) {
        let parameters = self.parameters(list.get);
        let by = |wanted: Use| {
            parameters
                .iter()
                .find(|(name, _)| guess::usage(name) == Some(wanted))
                .copied()
        };
        if let Some((name, parameter)) = by(Use::Size) {
            let most = parameter
                .pointer("/schema/maximum")
                .or_else(|| parameter.get("maximum"));
            draft.size = Some((
                name.to_owned(),
                most.and_then(Json::as_u64).unwrap_or(100).clamp(1, 1000),
            ));
            draft
                .unverified
                .push(format!("`{name}` may be as large as is asked for here"));
        }
        let mut members = Vec::new();
        self.members(list.answer, "", 0, &mut members);
        let next = members
            .iter()
            .find(|(path, _)| guess::is_next_token(path.rsplit('.').next().unwrap_or_default()));
        draft.pages = match (by(Use::Token), by(Use::Number), by(Use::Skip), next) {
            (Some((to, _)), _, _, Some((from, _))) => Pages::Token(to.to_owned(), from.clone()),
            (_, Some((to, _)), _, _) => Pages::Number(to.to_owned()),
            (_, _, Some((to, _)), _) => Pages::Skip(to.to_owned()),
            (_, _, _, Some((from, _))) => Pages::Url(from.clone()),
            _ => Pages::One,
        };
        let since = parameters.iter().find(|(name, _)| guess::is_since(name));
        draft.since = since.map(|(name, _)| (*name).to_owned());
        if let Some(name) = &draft.since {
            draft.unverified.push(format!(
                "`{name}` takes a time, and includes what changed at that very moment"
            ));
        }
        let find = parameters
            .iter()
            .find(|(name, _)| guess::field(name, "").is_some_and(|field| field.name == "email"));
        draft.find = find.map(|(name, _)| (*name).to_owned());
    }

    fn way(&self, path: &str, method: &str, operations: Option<&Json>) -> Option<Way> {
        let operation = operations?.get(method)?;
        let body = operation
            .get("requestBody")
            .map(|body| self.follow(body))
            .and_then(|body| self.content(body));
        let members = body.map(|schema| self.properties(schema)).unwrap_or_default();
        let inside = match members.as_slice() {
            [(name, schema)] if !self.properties(schema).is_empty() => Some(name.clone()),
            _ => None,
        };
        Some(Way {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            inside,
        })
    }
}

/// A path with `{{ parent }}` for its parameter.
fn below_parent(path: &str) -> String {
    match (path.split_once('{'), path.split_once('}')) {
        (Some((before, _)), Some((_, after))) => format!("{before}{{{{ parent }}}}{after}"),
        _ => path.to_owned(),
    }
}
