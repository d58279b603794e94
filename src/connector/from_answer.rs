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
