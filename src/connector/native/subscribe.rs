//! The subscriptions of a tool's webhooks: listed, made, prolonged, removed. What is wanted is decided elsewhere.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::Native;
use crate::connector::Subscription;
use crate::connector::classify::text_of;
use crate::connector::http::not_the_answer_to;
use crate::connector::link::Purpose;
use crate::connector::render::{Draft, from_expression};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Body, Call, Context, Found, Pick, Request, Subscriptions};

impl Native {
    fn subscribing(&self) -> Result<&Subscriptions, Failure> {
        let hook = self.hook.as_ref();
        hook.and_then(|hook| hook.webhook.subscriptions.as_ref())
            .ok_or_else(|| {
                let problem = Problem::new(Code::NotAllowed, "the connector has no calls for subscriptions");
                Failure::new(Class::Forbidden, problem.about(&self.system))
            })
    }

    pub(super) async fn list_subscriptions(&self) -> Result<Vec<Subscription>, Failure> {
        let words = self.subscribing()?;
        let body = self.call(&words.list, None, &self.link.names(), true).await?;
        if words.rows.find(&body) == Found::Absent {
            return Err(not_the_answer_to(
                "the list of subscriptions",
                &format!("has no `{}`", words.rows),
            ));
        }
        let text = |path: &crate::manifest::Path, row: &Json| path.find(row).value().map(|found| text_of(&found));
        let row = |row: &Json| {
            let expires = words.expires.as_ref();
            let topics = match &words.topics {
                Pick::Path(path) => path.find(row).value().map(std::borrow::Cow::into_owned),
                Pick::Template(template) => template.render_value(&self.link.names().with("row", row)).ok(),
            };
            Some(Subscription {
                id: text(&words.id, row)?.into(),
                url: text(&words.url, row).unwrap_or_default(),
                topics: match topics {
                    Some(Json::Array(topics)) => topics.iter().map(|topic| text_of(topic).into()).collect(),
                    Some(topic) => [text_of(&topic).into()].into(),
                    None => [].into(),
                },
                is_alive: words.alive.as_ref().is_none_or(|alive| alive.holds_for("row", row)),
                expires: expires.and_then(|at| at.read(row)),
            })
        };
        Ok(words.rows.rows(&body).iter().filter_map(|found| row(found)).collect())
    }

    pub(super) async fn make_subscription(
        &self,
        id: Option<&str>,
        url: &str,
        topics: &[CompactString],
    ) -> Result<(), Failure> {
        let words = self.subscribing()?;
        let mut names = self.link.names();
        names.set("url", &url.into());
        names.set("topics", &json!(topics));
        names.set("topic", &json!(topics.first()));
        names.set("id", &json!(id));
        let Call { request, body } = match (id, &words.renew) {
            (Some(_), Some(renew)) => renew,
            _ => &words.create,
        };
        self.call(request, body.as_ref(), &names, false).await.map(drop)
    }

    pub(super) async fn end_subscription(&self, id: &str) -> Result<(), Failure> {
        let words = self.subscribing()?;
        let names = self.link.names().with("id", &id.into());
        match self.call(&words.delete, None, &names, false).await {
            Err(failure) if failure.class == Class::Gone => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn call(
        &self,
        request: &Request,
        body: Option<&Body>,
        names: &Context,
        is_read: bool,
    ) -> Result<Json, Failure> {
        let draft = Draft::new(request, &BTreeMap::new(), body, names);
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        let purpose = Purpose {
            op: "subscribe",
            key: None,
            is_read,
        };
        let good = self.link.call(&draft, purpose).await;
        good.map(|good| good.body).map_err(|mut failure| {
            failure.problem.subject = format!("the webhooks of {}", self.system);
            failure
        })
    }
}
