//! A call whose body holds a request for each operation, and whose answer an answer for each (`multipart/mixed`).
//!
//! Every answer is judged as if it had come alone. One that has no part is not done: a tool that stops at the first error
//! leaves out the rest, a cut answer its end.

use super::account::one;
use super::plan::{Batch, call_names};
use super::{Native, Stream};
use crate::connector::http::{Answer, Ask, not_the_answer};
use crate::connector::link::Purpose;
use crate::connector::multipart::{Message, pack, unpack};
use crate::connector::render::{Draft, Form, from_expression};
use crate::error::Failure;
use crate::manifest::{Each, WriteOps};
use crate::model::Outcome;

impl Native {
    /// Sends a batch in parts; `None` for an operation that the answer does not mention.
    pub(super) async fn send_each(
        &self,
        stream: &Stream,
        write: &WriteOps,
        batch: &Batch<'_>,
        each: &Each,
    ) -> Result<Vec<Option<Outcome>>, Failure> {
        let fail = |why| from_expression(&why, false);
        let names = call_names(stream, batch, self.link.names());
        let op = batch.op;
        let mut asks: Vec<Ask> = Vec::with_capacity(batch.entries.len());
        for entry in &batch.entries {
            let names = entry.names(stream, op, names.clone(), |_| true);
            let draft = Draft::new(&each.request, &each.query, each.body.as_ref(), &names);
            let draft = draft
                .and_then(|draft| draft.with_headers(&each.headers, &names))
                .map_err(fail)?;
            asks.push(self.link.part(&draft)?);
        }
        let around = Draft::new(&op.request, &op.query, None, &names);
        let mut around = around
            .and_then(|draft| draft.with_headers(&op.headers, &names))
            .map_err(fail)?;
        around.form = Form::Parts;
        around.packed = Some(pack(&asks));
        let purpose = Purpose {
            op: batch.verb.word(),
            key: None,
            is_read: false,
        };
        let good = self.link.call(&around, purpose).await?;
        let messages = unpack(good.answer.header("content-type"), &good.answer.body);
        let messages = messages.map_err(|what| match asks.first() {
            Some(ask) => not_the_answer(ask, what),
            None => super::account::unanswered(),
        })?;
        let mut outcomes = vec![None; batch.entries.len()];
        for (at, message) in placed(messages) {
            let (Some(entry), Some(ask), Some(outcome)) = (batch.entries.get(at), asks.get(at), outcomes.get_mut(at))
            else {
                continue;
            };
            let Some(status) = message.status() else { continue };
            let answer = Answer {
                status,
                headers: message.headers,
                body: message.body,
                asked_at: good.answer.asked_at,
            };
            *outcome = match self.link.judge(ask, answer) {
                Ok(good) => one(stream, &write.result, entry, &good).map(Ok),
                Err(failure) => Some(Err(self.link.veil(failure))),
            };
        }
        Ok(outcomes)
    }
}

/// The messages with the position of the operation that each answers: by number where they have any, else by their order.
fn placed(messages: Vec<Message>) -> Vec<(usize, Message)> {
    let is_numbered = messages.iter().any(|message| message.id.is_some());
    let place = |(at, message): (usize, Message)| {
        if !is_numbered {
            return Some((at, message));
        }
        let number: usize = message.id.as_deref()?.parse().ok()?;
        Some((number.checked_sub(1)?, message))
    };
    messages.into_iter().enumerate().filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ids: &[Option<&str>], expected: &[usize]) {
        let message = |id: &Option<&str>| Message {
            id: id.map(str::to_owned),
            start: String::new(),
            headers: reqwest::header::HeaderMap::new(),
            body: Vec::new(),
        };
        let places: Vec<usize> = placed(ids.iter().map(message).collect())
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        assert_eq!(places, expected, "{ids:?}");
    }

    #[test]
    fn an_answer_belongs_to_the_operation_of_its_number() {
        check(&[Some("2"), Some("1")], &[1, 0]);
        check(&[None, None], &[0, 1]);
        check(&[Some("2"), None], &[1]);
        check(&[Some("0"), Some("x"), Some("3")], &[2]);
    }
}
