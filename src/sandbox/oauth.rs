//! A tool that hands out short-lived tokens by OAuth 2: consent by redirect, PKCE, rotating refresh tokens (an old one that
//! comes again is `invalid_grant`), client credentials and signed assertions. It counts what is asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// The client that every request must come from.
pub const CLIENT_ID: &str = "nivel-sandbox";
/// Its secret.
pub const CLIENT_SECRET: &str = "sandbox secret/1";

/// What goes wrong with the next request for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// Nothing happens, and it is said so.
    Unavailable,
    /// The tokens are rotated, and the answer never arrives.
    AnswerLost,
    /// An error in a 200, as one vendor does.
    ErrorIn200,
}

/// What was asked of the tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tokens given for a consent.
    pub consents: u32,
    /// Tokens given for a refresh token.
    pub refreshes: u32,
    /// Refresh tokens that came a second time.
    pub reused: u32,
    /// Tokens given for a secret or an assertion.
    pub direct: u32,
    /// Requests with a good token.
    pub served: u32,
    /// Requests with another one.
    pub refused: u32,
}

#[derive(Default)]
struct Book {
    codes: BTreeMap<String, (String, Option<String>)>,
    access: BTreeSet<String>,
    refresh: BTreeSet<String>,
    spent: BTreeSet<String>,
    next: u32,
    counts: Counts,
    faults: Vec<TokenFault>,
}

/// The tool.
pub struct OAuthTool {
    /// Where it listens, `http://127.0.0.1:PORT`.
    pub base: String,
    book: Arc<Mutex<Book>>,
    stop: CancellationToken,
}

type Shared = State<Arc<Mutex<Book>>>;

fn locked(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OAuthTool {
    /// Starts the tool on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let book: Arc<Mutex<Book>> = Arc::default();
        let router = Router::new()
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/me", get(me))
            .with_state(Arc::clone(&book));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        Ok(Self { base, book, stop })
    }

    /// What was asked so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        locked(&self.book).counts
    }

    /// Lets every access token run out.
    pub fn expire(&self) {
        locked(&self.book).access.clear();
    }

    /// Plays a fault at the next request for a token.
    pub fn fault(&self, fault: TokenFault) {
        locked(&self.book).faults.push(fault);
    }
}

impl Drop for OAuthTool {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Everybody agrees at once.
async fn authorize(State(book): Shared, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let value = |name: &str| asked.get(name).cloned().unwrap_or_default();
    if value("client_id") != CLIENT_ID || value("response_type") != "code" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let mut book = locked(&book);
    book.next += 1;
    let code = format!("code-{}", book.next);
    let redirect = value("redirect_uri");
    let challenge = asked.get("code_challenge").cloned();
    book.codes.insert(code.clone(), (redirect.clone(), challenge));
    let answer = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("code", &code)
        .append_pair("state", &value("state"))
        .finish();
    Redirect::to(&format!("{redirect}?{answer}")).into_response()
}

fn fields(headers: &HeaderMap, body: &[u8]) -> BTreeMap<String, String> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("");
    if kind.starts_with("application/json") {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// True when the client shows its secret, in the body or as Basic.
fn knows_client(headers: &HeaderMap, fields: &BTreeMap<String, String>) -> bool {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", encode(CLIENT_ID), encode(CLIENT_SECRET)))
    );
    let is_basic = headers.get(header::AUTHORIZATION).is_some_and(|value| *value == *basic);
    let value = |name: &str| fields.get(name).map(String::as_str);
    is_basic || value("client_id") == Some(CLIENT_ID) && value("client_secret") == Some(CLIENT_SECRET)
}

fn refuse(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": error }))).into_response()
}

async fn token(State(book): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let fields = fields(&headers, &body);
    let fault = {
        let mut book = locked(&book);
        if book.faults.is_empty() {
            None
        } else {
            Some(book.faults.remove(0))
        }
    };
    match fault {
        Some(TokenFault::Unavailable) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(TokenFault::ErrorIn200) => return axum::Json(json!({"error": "invalid_code"})).into_response(),
        Some(TokenFault::AnswerLost) | None => {}
    }
    // Others get their turn in the middle: concurrent renewals would show.
    tokio::task::yield_now().await;
    let answer = {
        let mut book = locked(&book);
        match give(&mut book, &headers, &fields) {
            Ok(answer) => answer,
            Err(error) => return refuse(error),
        }
    };
    if fault == Some(TokenFault::AnswerLost) {
        return (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "application/json")],
            "{\"access_tok",
        )
            .into_response();
    }
    axum::Json(answer).into_response()
}

fn give(book: &mut Book, headers: &HeaderMap, fields: &BTreeMap<String, String>) -> Result<Value, &'static str> {
    let value = |name: &str| fields.get(name).map_or("", String::as_str);
    let kind = value("grant_type");
    if kind != "urn:ietf:params:oauth:grant-type:jwt-bearer" && !knows_client(headers, fields) {
        return Err("invalid_client");
    }
    let renews = match kind {
        "authorization_code" => {
            let (redirect, challenge) = book.codes.remove(value("code")).ok_or("invalid_grant")?;
            let shown = URL_SAFE_NO_PAD.encode(Sha256::digest(value("code_verifier")));
            if redirect != value("redirect_uri") || challenge.is_some_and(|challenge| challenge != shown) {
                return Err("invalid_grant");
            }
            book.counts.consents += 1;
            true
        }
        "refresh_token" => {
            let old = value("refresh_token").to_owned();
            if book.spent.contains(&old) {
                book.counts.reused += 1;
            }
            if !book.refresh.remove(&old) {
                return Err("invalid_grant");
            }
            book.spent.insert(old);
            book.counts.refreshes += 1;
            true
        }
        "client_credentials" => {
            book.counts.direct += 1;
            false
        }
        _ if value("assertion").split('.').count() == 3 => {
            book.counts.direct += 1;
            false
        }
        _ => return Err("unsupported_grant_type"),
    };
    book.next += 1;
    let access = format!("access-{}", book.next);
    book.access.insert(access.clone());
    let mut answer = json!({"access_token": access, "token_type": "Bearer", "expires_in": 1800});
    if renews {
        let refresh = format!("refresh-{}", book.next);
        book.refresh.insert(refresh.clone());
        answer["refresh_token"] = refresh.into();
    }
    Ok(answer)
}

async fn me(State(book): Shared, headers: HeaderMap) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("");
    let mut book = locked(&book);
    if book.access.contains(token) {
        book.counts.served += 1;
        return axum::Json(json!({"data": []})).into_response();
    }
    book.counts.refused += 1;
    (
        StatusCode::UNAUTHORIZED,
        axum::Json(json!({"message": "token expired"})),
    )
        .into_response()
}
