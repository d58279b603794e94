//! Plays one fault on one request: what is applied, what is answered, and how it is delivered.

use std::sync::Arc;

use serde_json::Value;

use super::clock::http_date;
use super::faults::{Kind, Retry};
use super::tool::{Service, Wrong};
use super::wire::{Ask, Content, Page, Reply};

/// Where people log in.
const LOGIN: &str = "/login";

/// How an answer travels.
pub(super) enum Delivery {
    Plain,
    Reset,
    Hold { ms: u64 },
    CutJson,
    ResetMidBody,
    Drip { bytes: usize, pause_ms: u64 },
    Pad { bytes: usize },
}

pub(super) struct Outcome {
    pub(super) reply: Reply,
    pub(super) delivery: Delivery,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            delivery: Delivery::Plain,
        }
    }
}

pub(super) fn play(service: &Service, ask: &mut Ask, fault: Option<Kind>) -> Outcome {
    match fault {
        _ if ask.path == LOGIN => login_page().into(),
        None => remembered(service, ask).into(),
        Some(Kind::Throttle(retry)) => throttled(service, ask, retry).into(),
        Some(Kind::ServerError) => service.vendor.wrong(Wrong::Server).into(),
        Some(Kind::ResetBefore) => Outcome {
            reply: Reply::empty(502),
            delivery: Delivery::Reset,
        },
        Some(Kind::ErrorIn200) => {
            let mut reply = service.vendor.wrong(Wrong::Server);
            reply.status = 200;
            reply.into()
        }
        Some(Kind::LoginPage) => login_page().into(),
        Some(Kind::Redirect) => Reply::empty(301).with("location", LOGIN.to_owned()).into(),
        Some(Kind::BlockPage) => html(403, "<html><body><h1>Sorry, you have been blocked</h1></body></html>").into(),
        Some(Kind::TooManyJobs) => service.vendor.wrong(Wrong::TooManyJobs).into(),
        Some(Kind::StuckJob) => stuck(remembered(service, ask)).into(),
        Some(Kind::Unauthorized) => service.vendor.wrong(Wrong::Unauthorized).into(),
        Some(Kind::DailyQuota { status }) => {
            let mut reply = service.vendor.wrong(Wrong::DailyQuota);
            reply.status = status;
            reply.into()
        }
        Some(Kind::BadGatewayAfter) => {
            remembered(service, ask);
            html(502, "<html><body><h1>502 Bad Gateway</h1></body></html>").into()
        }
        Some(Kind::DuplicatePage | Kind::RepeatedCursor | Kind::EmptyPage | Kind::EqualEdge | Kind::TypeChange) => {
            rearranged(service, ask, fault).into()
        }
        Some(Kind::ClockSkew { ms }) => {
            ask.now_ms = ask.now_ms.saturating_add(ms);
            remembered(service, ask).into()
        }
        Some(Kind::IndexLag { ms }) => {
            ask.lag_ms = ms;
            remembered(service, ask).into()
        }
        Some(Kind::ResetAfter) => sent(service, ask, Delivery::Reset),
        Some(Kind::CutJson) => sent(service, ask, Delivery::CutJson),
        Some(Kind::ResetMidBody) => sent(service, ask, Delivery::ResetMidBody),
        Some(Kind::SlowDrip { bytes, pause_ms }) => sent(service, ask, Delivery::Drip { bytes, pause_ms }),
        Some(Kind::HugeBody { bytes }) => sent(service, ask, Delivery::Pad { bytes }),
        Some(Kind::Hold { ms, applied: true }) => sent(service, ask, Delivery::Hold { ms }),
        Some(Kind::Hold { applied: false, .. }) => {
            // The wait is over: the tool's clock has moved on.
            ask.now_ms = ask.now_ms.max(service.clock.now_ms());
            remembered(service, ask).into()
        }
    }
}

fn sent(service: &Service, ask: &Ask, delivery: Delivery) -> Outcome {
    Outcome {
        reply: remembered(service, ask),
        delivery,
    }
}

/// The vendor's answer; a page is kept, in case it is to come twice.
fn remembered(service: &Service, ask: &Ask) -> Reply {
    let reply = service.dispatch(ask);
    if let Content::Page(page) = &reply.content {
        service.last_pages().insert(ask.path.clone(), page.rows.clone());
    }
    reply
}

fn throttled(service: &Service, ask: &Ask, retry: Retry) -> Reply {
    let is_search = ask.path.ends_with("/search");
    let reply = service.vendor.wrong(Wrong::Throttled { is_search });
    match retry {
        Retry::Seconds(seconds) => reply.with("retry-after", seconds.to_string()),
        Retry::Date(seconds) => reply.with("retry-after", http_date(ask.now_ms + i64::from(seconds) * 1_000)),
        Retry::Absent => reply,
    }
}

fn login_page() -> Reply {
    let text = "<!DOCTYPE html><html><head><title>Log in</title></head><body><form action=\"/login\" method=\"post\">\
                <input name=\"user\"><input name=\"password\" type=\"password\"></form></body></html>";
    html(200, text)
}

fn html(status: u16, text: &str) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        content: Content::Text("text/html; charset=utf-8", text.to_owned()),
    }
}

/// A job as it looks before anybody has begun with it.
fn stuck(mut reply: Reply) -> Reply {
    if let Content::Json(body) = &mut reply.content
        && let Some(job) = body.get_mut("job_status").and_then(Value::as_object_mut)
    {
        job.insert("status".to_owned(), "queued".into());
        job.insert("progress".to_owned(), 0.into());
        job.insert("results".to_owned(), Value::Null);
    }
    reply
}

fn rearranged(service: &Service, ask: &Ask, fault: Option<Kind>) -> Reply {
    let before = service.last_pages().get(&ask.path).cloned();
    let mut reply = remembered(service, ask);
    if fault == Some(Kind::EqualEdge) {
        let Content::Page(page) = &reply.content else {
            return reply;
        };
        let Some((last, first)) = page.edge else { return reply };
        service.store().level(last, first);
        return remembered(service, ask);
    }
    if let Content::Page(page) = &mut reply.content {
        rearrange(service, page, fault, before);
    }
    reply
}

fn rearrange(service: &Service, page: &mut Page, fault: Option<Kind>, before: Option<Vec<Arc<Value>>>) {
    match fault {
        Some(Kind::DuplicatePage) => {
            page.rows = before.unwrap_or_else(|| page.rows.clone());
            page.next = Some(page.again.clone());
        }
        Some(Kind::RepeatedCursor) => page.next = Some(page.here.clone()),
        Some(Kind::EmptyPage) => {
            page.rows.clear();
            page.next = Some(page.again.clone());
        }
        Some(Kind::TypeChange) => {
            if let Some(row) = page.rows.first_mut() {
                service.vendor.twist(Arc::make_mut(row));
            }
        }
        _ => {}
    }
}
