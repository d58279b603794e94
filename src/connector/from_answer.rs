//! What an answer says in its body or in a header.

use serde_json::{Map, Value as Json};

use super::classify::text_of;
use super::http::Answer;
use crate::manifest::{Context, FromAnswer};

/// The text that an answer has at a place; nothing for null and empty text, and when an expression cannot be evaluated.
pub(super) fn told(place: &FromAnswer, answer: &Answer, body: &Json) -> Option<String> {
    let text = match place {
        FromAnswer::Body(path) => text_of(&*path.find(body).value()?),
        FromAnswer::Header(name) => answer.header(name).to_owned(),
        FromAnswer::Template(template) => {
            let headers: Map<String, Json> = answer
                .headers
                .keys()
                .map(|name| (name.as_str().to_owned(), Json::from(answer.header(name.as_str()))))
                .collect();
            let names = Context::new()
                .with("body", body)
                .with("headers", &Json::Object(headers))
                .with("status", &Json::from(answer.status));
            text_of(&template.render_value(&names).ok()?)
        }
    };
    Some(text).filter(|text| !text.is_empty())
}

/// The `rel=next` address of a `Link` header. Addresses may hold commas and semicolons.
pub(super) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((address, after)) = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            matches!(parameter.as_str(), "rel=next" | "rel=\"next\"")
        });
        if is_next {
            return Some(address);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found() {
        let header = "<https://h/a?page=1>; rel=\"prev\", <https://h/a?page=3>; rel=\"next\"; title=x";
        assert_eq!(next_link(header), Some("https://h/a?page=3"));
        assert_eq!(
            next_link("<https://h/a?f=x,y;z>; rel=next"),
            Some("https://h/a?f=x,y;z")
        );
        assert_eq!(next_link("<https://h/a>; rel=last"), None);
        assert_eq!(next_link(""), None);
    }
}
