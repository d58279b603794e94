//! A fourth tool, of nobody's shape: a small card index that no document describes. Whoever learns to write a connector
//! finds out by asking it; the guide `connectors/GUIDE.md` shows how.
//!
//! Its quirks are those of many small tools: a header of its own for the key, rows to skip, seconds since 1970, addresses in
//! a list, ids that are words, an answer without a body, a parameter that it does not know is refused.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::{Map, Value as Json, json};
use tokio::net::TcpListener;

use super::clock::Clock;

/// Cards on one page, whatever is asked for.
const TAKE_MAX: usize = 3;
/// What a card may hold beside its number.
const WRITABLE: [&str; 4] = ["mails", "who", "tel", "firm"];

/// The key that the tool takes.
pub const KEY: &str = "practice-key";

/// A running card index.
pub struct Practice {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    cards: Cards,
    server: tokio::task::JoinHandle<()>,
}

type Cards = Arc<Mutex<Vec<Map<String, Json>>>>;

#[derive(Clone)]
struct Desk {
    cards: Cards,
    clock: Arc<Clock>,
}

impl Practice {
    /// Starts it on loopback with seven cards; port 0 takes a free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let clock = Arc::new(Clock::real());
        let cards: Cards = Arc::new(Mutex::new(seeded(clock.now_ms() / 1000)));
        let desk = Desk {
            cards: Arc::clone(&cards),
            clock,
        };
        let router = Router::new().fallback(answer).with_state(desk);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the card index ended badly");
            }
        });
        Ok(Self { base, cards, server })
    }

    /// The cards, oldest first.
    #[must_use]
    pub fn cards(&self) -> Vec<Json> {
        let cards = self.cards.lock().unwrap_or_else(PoisonError::into_inner);
        cards.iter().cloned().map(Json::Object).collect()
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn seeded(now_s: i64) -> Vec<Map<String, Json>> {
    let people = [
        (
            "Aino Virtanen",
            "aino.virtanen@example.com",
            "+358 40 123 4561",
            "Suksi Oy",
        ),
        ("Bea Ng", "bea@example.net", "+1 202 555 0101", "Globex"),
        ("Carl Öberg", "carl.oberg@example.org", "", "Öberg & Söner"),
        ("Dana O'Neil", "dana@example.com", "+44 20 7946 0018", ""),
        ("Emil Novak", "", "+420 601 123 456", "Novak s.r.o."),
        ("Farah Haddad", "farah@example.net", "", "Globex"),
        ("Gil Costa", "gil@example.org", "+351 21 123 4567", "Costa Lda"),
    ];
    let card = |(number, (who, mail, tel, firm)): (i64, (&str, &str, &str, &str))| {
        let mails: Vec<&str> = [mail].into_iter().filter(|mail| !mail.is_empty()).collect();
        let card = json!({"no": format!("C-{number}"), "mails": mails, "who": who, "tel": tel, "firm": firm,
            "stamp": now_s - 10_000 + number * 10, "binned": false});
        card.as_object().cloned().unwrap_or_default()
    };
    (1..).zip(people).map(card).collect()
}

async fn answer(
    State(desk): State<Desk>,
    method: Method,
    uri: Uri,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> Response {
    let given = headers.get("x-desk-key").and_then(|key| key.to_str().ok());
    if given != Some(KEY) {
        return reply(401, json!({"oops": "who are you? tell me in x-desk-key"}));
    }
    let query: Vec<(String, String)> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    let path = percent_encoding::percent_decode_str(uri.path())
        .decode_utf8_lossy()
        .into_owned();
    let body: Json = serde_json::from_slice(&body).unwrap_or_default();
    let mut cards = desk.cards.lock().unwrap_or_else(PoisonError::into_inner);
    let now_s = desk.clock.now_ms() / 1000;
    match (method.as_str(), path.strip_prefix("/cards/")) {
        ("GET", None) if path == "/hello" => reply(200, json!({"desk": "cards", "open": true})),
        ("GET", None) if path == "/cards" => list(&cards, &query),
        ("POST", None) if path == "/cards" => make(&mut cards, &body, now_s),
        ("GET", Some(no)) => match find(&mut cards, no) {
            Some(card) => reply(200, json!({"card": card})),
            None => gone(),
        },
        ("PATCH", Some(no)) => change(&mut cards, no, &body, now_s),
        ("DELETE", Some(no)) => match find(&mut cards, no) {
            Some(card) => {
                card.insert("binned".into(), true.into());
                card.insert("stamp".into(), now_s.into());
                reply(204, Json::Null)
            }
            None => gone(),
        },
        _ => reply(404, json!({"oops": "there is nothing here"})),
    }
}

fn find<'a>(cards: &'a mut [Map<String, Json>], no: &str) -> Option<&'a mut Map<String, Json>> {
    cards
        .iter_mut()
        .find(|card| card.get("no").and_then(Json::as_str) == Some(no))
}

fn list(cards: &[Map<String, Json>], query: &[(String, String)]) -> Response {
    if let Some((name, _)) = query
        .iter()
        .find(|(name, _)| !["skip", "take", "changed", "mail"].contains(&name.as_str()))
    {
        return reply(400, json!({"oops": format!("`{name}` means nothing to me")}));
    }
    let text = |wanted: &str| {
        query
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let number = |wanted: &str| text(wanted).and_then(|text| text.parse::<i64>().ok());
    let since = number("changed").unwrap_or_default();
    let stamp = |card: &Map<String, Json>| card.get("stamp").and_then(Json::as_i64).unwrap_or_default();
    let mut wanted: Vec<&Map<String, Json>> = cards.iter().filter(|card| stamp(card) >= since).collect();
    if let Some(mail) = text("mail") {
        wanted.retain(|card| has_mail(card, mail));
    }
    wanted.sort_by_key(|card| stamp(card));
    let skip = number("skip").and_then(|skip| usize::try_from(skip).ok()).unwrap_or(0);
    let take = number("take")
        .and_then(|take| usize::try_from(take).ok())
        .unwrap_or(TAKE_MAX)
        .min(TAKE_MAX);
    let page: Vec<_> = wanted.iter().skip(skip).take(take).collect();
    let left = wanted.len().saturating_sub(skip + page.len());
    reply(200, json!({"cards": page, "left": left}))
}

fn has_mail(card: &Map<String, Json>, mail: &str) -> bool {
    let mails = card.get("mails").and_then(Json::as_array).into_iter().flatten();
    mails
        .filter_map(Json::as_str)
        .any(|known| known.eq_ignore_ascii_case(mail))
}

/// The members of `card` in the body; an unknown one is refused.
fn wanted(body: &Json) -> Result<Map<String, Json>, String> {
    let Some(card) = body.get("card").and_then(Json::as_object) else {
        return Err("put it into `card`".to_owned());
    };
    match card.keys().find(|name| !WRITABLE.contains(&name.as_str())) {
        Some(name) => Err(format!("a card has no `{name}`")),
        None => Ok(card.clone()),
    }
}

fn in_use(cards: &[Map<String, Json>], card: &Map<String, Json>, but: &str) -> Option<Response> {
    let mails = card
        .get("mails")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str);
    let others = || {
        cards
            .iter()
            .filter(|other| other.get("no").and_then(Json::as_str) != Some(but))
    };
    let mut taken = mails.filter_map(|mail| others().find(|other| has_mail(other, mail)));
    let other = taken.next()?;
    Some(reply(
        409,
        json!({"oops": "that mail is on another card", "card": other.get("no")}),
    ))
}

fn make(cards: &mut Vec<Map<String, Json>>, body: &Json, now_s: i64) -> Response {
    let card = match wanted(body) {
        Ok(card) => card,
        Err(why) => return reply(422, json!({"oops": why})),
    };
    if let Some(taken) = in_use(cards, &card, "") {
        return taken;
    }
    let no = format!("C-{}", cards.len() + 1);
    let mut whole = Map::new();
    whole.insert("no".into(), no.clone().into());
    for name in WRITABLE {
        let empty = if name == "mails" { json!([]) } else { json!("") };
        whole.insert(
            name.into(),
            card.get(name)
                .cloned()
                .filter(|value| !value.is_null())
                .unwrap_or(empty),
        );
    }
    whole.insert("stamp".into(), now_s.into());
    whole.insert("binned".into(), false.into());
    cards.push(whole);
    reply(201, json!({"made": no}))
}

fn change(cards: &mut [Map<String, Json>], no: &str, body: &Json, now_s: i64) -> Response {
    let changes = match wanted(body) {
        Ok(changes) => changes,
        Err(why) => return reply(422, json!({"oops": why})),
    };
    if let Some(taken) = in_use(cards, &changes, no) {
        return taken;
    }
    let Some(card) = find(cards, no) else { return gone() };
    card.extend(changes);
    card.insert("stamp".into(), now_s.into());
    reply(204, Json::Null)
}

fn gone() -> Response {
    reply(404, json!({"oops": "no such card"}))
}

fn reply(status: u16, body: Json) -> Response {
    let mut response = Response::new(if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
