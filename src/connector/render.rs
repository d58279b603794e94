//! Builds requests from the precompiled trees of a manifest.

use std::collections::BTreeMap;

use compact_str::CompactString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Map, Value as Json};

use super::classify::text_of;
use super::http::Ask;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{BadExpression, Body, Context, Param, Request};

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request that is not addressed yet: everything behind `base`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) method: Method,
    /// Path and perhaps query, or a whole address the tool gave us.
    pub(super) target: Target,
    pub(super) query: Vec<(CompactString, String)>,
    pub(super) headers: Vec<(CompactString, String)>,
    pub(super) body: Option<Json>,
    /// A body that is no JSON, with its media type; it goes before the other.
    pub(super) packed: Option<(String, Vec<u8>)>,
    /// How a good answer is written.
    pub(super) form: Form,
}

/// How a good answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Json,
    /// CSV, read as a list of objects.
    Table,
    /// Several messages in one; the caller takes them apart.
    Parts,
}

impl Form {
    /// What the request says that it takes; what every request says is left to the common headers.
    fn accepts(self) -> Option<HeaderValue> {
        match self {
            Self::Json => None,
            Self::Table => Some(HeaderValue::from_static("text/csv")),
            Self::Parts => Some(HeaderValue::from_static("multipart/mixed")),
        }
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Behind the base address.
    Path(String),
    /// To this address; its host was checked.
    Url(Url),
}

type Map2 = BTreeMap<CompactString, Body>;

impl Draft {
    /// Renders a request line, its query and its body.
    pub(super) fn new(
        request: &Request,
        query: &Map2,
        body: Option<&Body>,
        names: &Context,
    ) -> Result<Self, BadExpression> {
        let mut draft = Self {
            method: Method::from_bytes(request.method.as_str().as_bytes()).unwrap_or(Method::GET),
            target: Target::Path(request.path.render_url(names)?),
            query: Vec::new(),
            headers: Vec::new(),
            body: body.map(|body| body.render(names)).transpose()?,
            packed: None,
            form: Form::Json,
        };
        for (name, value) in query {
            draft.add_query(name, &value.render(names)?);
        }
        Ok(draft)
    }

    /// Adds rendered headers.
    pub(super) fn with_headers(mut self, headers: &Map2, names: &Context) -> Result<Self, BadExpression> {
        for (name, value) in headers {
            match value.render(names)? {
                Json::Null => {}
                value => self.headers.push((name.clone(), text_of(&value))),
            }
        }
        Ok(self)
    }

    /// Adds a parameter; none is left out, a list is repeated.
    fn add_query(&mut self, name: &CompactString, value: &Json) {
        match value {
            Json::Null => {}
            Json::Array(items) => items
                .iter()
                .for_each(|item| self.query.push((name.clone(), text_of(item)))),
            value => self.query.push((name.clone(), text_of(value))),
        }
    }

    /// Puts a value where a manifest says that it goes, over what is there.
    pub(super) fn put(&mut self, param: &Param, value: &Json) {
        match param {
            Param::Query(name) => {
                self.query.retain(|(known, _)| known != name);
                self.add_query(name, value);
            }
            Param::Header(name) => {
                self.headers.retain(|(known, _)| known != name);
                self.headers.push((name.clone(), text_of(value)));
            }
            Param::Body(path) => {
                let body = self.body.get_or_insert_with(|| Json::Object(Map::new()));
                *path.split('.').fold(body, member) = value.clone();
            }
        }
    }

    /// Path and query as limits see them.
    pub(super) fn path(&self) -> String {
        match &self.target {
            Target::Path(path) => self.with_query(path.clone()),
            Target::Url(url) => url.path().to_owned(),
        }
    }

    fn with_query(&self, mut path: String) -> String {
        for (name, value) in &self.query {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.extend(utf8_percent_encode(name, ESCAPED));
            path.push('=');
            path.extend(utf8_percent_encode(value, ESCAPED));
        }
        path
    }

    /// The complete request, but for the credential.
    pub(super) fn ask(&self, base: &Url, common: &HeaderMap, is_read: bool) -> Result<Ask, Failure> {
        let url = match &self.target {
            Target::Url(url) => url.clone(),
            Target::Path(path) => {
                let text = format!(
                    "{}{}",
                    base.as_str().trim_end_matches('/'),
                    self.with_query(path.clone())
                );
                Url::parse(&text).map_err(|_error| bad_request("the address of a request is not well-formed"))?
            }
        };
        let mut headers = common.clone();
        if let Some(accepted) = self.form.accepts() {
            headers.insert(ACCEPT, accepted);
        }
        for (name, value) in &self.headers {
            let name =
                HeaderName::try_from(name.as_str()).map_err(|_error| bad_request("a header has no valid name"))?;
            let value = HeaderValue::from_str(value).map_err(|_error| bad_request("a header value has a line end"))?;
            headers.insert(name, value);
        }
        let packed = self.packed.as_ref();
        if let Some((kind, _)) = packed {
            let kind = HeaderValue::from_str(kind).map_err(|_error| bad_request("a media type has a line end"))?;
            headers.insert(CONTENT_TYPE, kind);
        }
        let body = self.body.as_ref().map(|body| body.to_string().into_bytes());
        let body = packed.map(|(_, bytes)| bytes.clone()).or(body);
        if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(Ask {
            method: self.method.clone(),
            url,
            headers,
            body,
            is_read,
        })
    }
}

/// The member of an object; what is no object becomes an empty one.
pub(super) fn member<'a>(at: &'a mut Json, name: &str) -> &'a mut Json {
    if !at.is_object() {
        *at = Json::Object(Map::new());
    }
    &mut at[name]
}

fn bad_request(what: &str) -> Failure {
    Failure::new(Class::Invalid, Problem::new(Code::ManifestSense, what))
}

/// The failure of an expression: for a read the stream stops, for a write the record is refused.
pub(super) fn from_expression(why: &BadExpression, is_read: bool) -> Failure {
    let class = if is_read { Class::Forbidden } else { Class::Invalid };
    Failure::new(class, Problem::new(Code::ManifestExpression, why.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draft(line: &str, query: &str, body: &str) -> Draft {
        let request: Request = serde_saphyr::from_str(&format!("\"{line}\"")).unwrap();
        let query: Map2 = serde_saphyr::from_str(query).unwrap();
        let body: Option<Body> = serde_saphyr::from_str(body).unwrap();
        let names = Context::of(&json!({"id": "a/b c", "none": null, "list": ["x", "y"], "n": 5}));
        Draft::new(&request, &query, body.as_ref(), &names).unwrap()
    }

    #[track_caller]
    fn check(draft: &Draft, url: &str, body: Option<Json>) {
        let base = Url::parse("http://h/api/").unwrap();
        let ask = draft.ask(&base, &HeaderMap::new(), true).unwrap();
        assert_eq!(ask.url.as_str(), url);
        assert_eq!(
            ask.body.map(|body| serde_json::from_slice::<Json>(&body).unwrap()),
            body
        );
    }

    #[test]
    fn values_can_neither_leave_their_place_nor_add_parameters() {
        let draft = draft(
            "GET /users/{{ id }}?a=1",
            "{q: \"{{ id }}&x=1\", none: \"{{ none }}\", list: \"{{ list }}\"}",
            "null",
        );
        check(
            &draft,
            "http://h/api/users/a%2Fb%20c?a=1&list=x&list=y&q=a%2Fb%20c%26x%3D1",
            None,
        );
    }

    #[test]
    fn parameters_are_put_over_what_is_there() {
        let mut draft = draft(
            "POST /search",
            "{after: first}",
            "{limit: \"{{ n }}\", page: {after: x}}",
        );
        draft.put(&Param::Query("after".into()), &json!("t0k&n"));
        draft.put(&Param::Body("page.after".into()), &json!(7));
        draft.put(&Param::Body("filter.since".into()), &json!("s"));
        check(
            &draft,
            "http://h/api/search?after=t0k%26n",
            Some(json!({"limit": 5, "page": {"after": 7}, "filter": {"since": "s"}})),
        );
    }
}
