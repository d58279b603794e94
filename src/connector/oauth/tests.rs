//! Against a tool on loopback that rotates its refresh tokens and takes none twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use async_trait::async_trait;
use futures::future::join_all;

use super::*;
use crate::connector::seal::new_key;
use crate::connector::{Connection, build};
use crate::model::TestClock;
use crate::sandbox::oauth::{CLIENT_ID, CLIENT_SECRET, OAuthTool, TokenFault};

const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

type Row = (SealedToken, Option<(String, UnixMillis)>);

/// A store that several processes share.
#[derive(Default)]
struct Rows {
    rows: Mutex<BTreeMap<String, Row>>,
    is_full: AtomicBool,
}

impl Rows {
    fn version(&self) -> u64 {
        self.rows.lock().unwrap()["crm"].0.version
    }
}

#[async_trait]
impl TokenStore for Rows {
    async fn token(&self, system: &str) -> Result<Option<SealedToken>, Problem> {
        tokio::task::yield_now().await;
        Ok(self.rows.lock().unwrap().get(system).map(|row| row.0.clone()))
    }

    async fn tokens(&self) -> Result<Vec<SealedToken>, Problem> {
        Ok(self.rows.lock().unwrap().values().map(|row| row.0.clone()).collect())
    }

    async fn put_token(&self, token: &SealedToken) -> Result<bool, Problem> {
        tokio::task::yield_now().await;
        if self.is_full.load(Ordering::SeqCst) {
            return Err(Problem::new(Code::LedgerFull, "the disk is full"));
        }
        let mut rows = self.rows.lock().unwrap();
        let known = rows.get(token.system.as_str()).map_or(0, |row| row.0.version);
        if known == token.version {
            let version = known + 1;
            rows.insert(
                token.system.to_string(),
                (
                    SealedToken {
                        version,
                        ..token.clone()
                    },
                    None,
                ),
            );
        }
        Ok(known == token.version)
    }

    async fn remove_token(&self, system: &str) -> Result<bool, Problem> {
        Ok(self.rows.lock().unwrap().remove(system).is_some())
    }

    async fn lease_token(
        &self,
        system: &str,
        holder: &str,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<bool, Problem> {
        let mut rows = self.rows.lock().unwrap();
        let Some((_, lease)) = rows.get_mut(system) else {
            return Ok(false);
        };
        let is_free = lease.as_ref().is_none_or(|(other, end)| other == holder || *end <= now);
        if is_free {
            *lease = Some((holder.to_owned(), until));
        }
        Ok(is_free)
    }

    async fn release_token(&self, system: &str, holder: &str) -> Result<(), Problem> {
        if let Some((_, lease)) = self.rows.lock().unwrap().get_mut(system)
            && lease.as_ref().is_some_and(|(other, _)| other == holder)
        {
            *lease = None;
        }
        Ok(())
    }
}

/// A tool, a store and a key; processes come and go.
struct Stage {
    tool: OAuthTool,
    rows: Arc<Rows>,
    keys: Arc<KeyRing>,
    clock: Arc<TestClock>,
    extra: &'static str,
}

impl Stage {
    async fn new(extra: &'static str) -> Self {
        Self {
            tool: OAuthTool::start().await.unwrap(),
            rows: Arc::default(),
            keys: Arc::new(KeyRing::parse(&new_key().unwrap()).unwrap()),
            clock: Arc::new(TestClock::at(NOW)),
            extra,
        }
    }

    fn manifest(&self) -> Manifest {
        let text = format!(
            "
connector: acme
format: 1
config: {{client_id: {{}}, client_secret: {{secret: true}}, key: {{optional: true, secret: true}}}}
base: {base}
oauth2: {{authorize: '{base}/authorize', token: '{base}/token', client_id: '{{{{ config.client_id }}}}', client_secret: '{{{{ config.client_secret }}}}', scopes: [read, write]{extra}}}
check: GET /me
errors: [{{status: 401, class: auth, message: message}}]
objects: {{contact: {{id: id, match: [email], read: {{full: {{every: 1d}}, request: GET /me, records: data}}, fields: {{email: email}}}}}}
",
            base = self.tool.base,
            extra = self.extra,
        );
        Manifest::parse("acme.yaml", &text).unwrap()
    }

    fn settings(&self) -> ConnectionSettings {
        let mut settings = ConnectionSettings::new("crm")
            .with("client_id", CLIENT_ID)
            .with_secret("client_secret", CLIENT_SECRET);
        let store: Arc<dyn TokenStore> = self.rows.clone();
        settings.tokens = Arc::new(OnceLock::from(store));
        settings.token_keys = Arc::new(OnceLock::from(Arc::clone(&self.keys)));
        settings.clock = self.clock.clone();
        settings
    }

    /// A process of its own.
    fn process(&self) -> OAuth {
        OAuth::of(&self.manifest(), &self.settings()).unwrap().unwrap()
    }

    fn connection(&self) -> Arc<dyn Connection> {
        build(self.manifest(), self.settings()).unwrap()
    }

    /// What a person and her browser do.
    async fn sign_in(&self, oauth: &OAuth) {
        let sign_in = oauth.sign_in("http://127.0.0.1:9/callback").unwrap();
        let came = browse(&sign_in.url).await;
        let code = sign_in.code(&came, false).unwrap();
        oauth.accept(&sign_in, &code).await.unwrap();
    }
}

/// Opens the address and says where it leads.
async fn browse(url: &Url) -> String {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let answer = client.get(url.clone()).send().await.unwrap();
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_signs_in_once_and_tokens_are_renewed_by_the_clock() {
    let stage = Stage::new("").await;
    let oauth = stage.process();
    let failure = oauth.access().await.unwrap_err();
    assert_eq!((failure.class, failure.problem.code), (Class::Auth, Code::NotSignedIn));
    assert!(failure.problem.hint.contains("nivel auth crm"));
    stage.sign_in(&oauth).await;
    let first = oauth.access().await.unwrap();
    stage.clock.advance(Duration::from_secs(1739));
    assert_eq!(
        oauth.access().await.unwrap().token.expose_secret(),
        first.token.expose_secret()
    );
    stage.clock.advance(Duration::from_secs(2));
    assert_ne!(
        oauth.access().await.unwrap().token.expose_secret(),
        first.token.expose_secret()
    );
    let counts = stage.tool.counts();
    assert_eq!((counts.consents, counts.refreshes, counts.reused), (1, 1, 0));
    let row = stage.rows.rows.lock().unwrap()["crm"].0.clone();
    assert!(!String::from_utf8_lossy(&row.sealed).contains("access-"), "sealed");
    stage.sign_in(&oauth).await;
    assert_eq!(stage.rows.version(), 3, "signing in again is always possible");
}

#[tokio::test]
async fn p66_many_refused_requests_cause_one_refresh() {
    let stage = Stage::new("").await;
    stage.sign_in(&stage.process()).await;
    // Two processes, twenty requests, every token refused at once.
    let connections = [stage.connection(), stage.connection()];
    for connection in &connections {
        connection.check().await.unwrap();
    }
    stage.tool.expire();
    let checks = (0..20).map(|at| connections[at % 2].check());
    for answer in join_all(checks).await {
        answer.unwrap();
    }
    let counts = stage.tool.counts();
    assert_eq!((counts.refreshes, counts.reused), (1, 0), "{counts:?}");
    assert_eq!(counts.served, 22);
}

#[tokio::test]
async fn p66_a_failed_refresh_never_deletes_the_grant() {
    let stage = Stage::new("").await;
    let oauth = stage.process();
    stage.sign_in(&oauth).await;
    let before = stage.rows.token("crm").await.unwrap();
    stage.clock.advance(Duration::from_secs(1800));
    for (fault, class) in [
        (TokenFault::Unavailable, Class::Transient),
        (TokenFault::ErrorIn200, Class::Auth),
    ] {
        stage.tool.fault(fault);
        assert_eq!(oauth.access().await.unwrap_err().class, class, "{fault:?}");
        assert_eq!(stage.rows.token("crm").await.unwrap(), before);
    }
    oauth.access().await.unwrap();
    // The answer is lost after the tool has rotated: nothing helps but a person, and what is there stays.
    stage.clock.advance(Duration::from_secs(1800));
    let before = stage.rows.token("crm").await.unwrap();
    stage.tool.fault(TokenFault::AnswerLost);
    assert_eq!(oauth.access().await.unwrap_err().class, Class::Transient);
    let failure = oauth.access().await.unwrap_err();
    assert_eq!((failure.class, failure.problem.code), (Class::Auth, Code::NotSignedIn));
    assert_eq!(stage.rows.token("crm").await.unwrap(), before);
    stage.sign_in(&oauth).await;
    oauth.access().await.unwrap();
}

#[tokio::test]
async fn a_rotated_token_is_on_disk_before_it_is_used() {
    let stage = Stage::new("").await;
    let oauth = stage.process();
    stage.sign_in(&oauth).await;
    stage.clock.advance(Duration::from_secs(1800));
    // The disk is full: the new token is not handed out, but not lost either.
    stage.rows.is_full.store(true, Ordering::SeqCst);
    assert_eq!(oauth.access().await.unwrap_err().problem.code, Code::LedgerFull);
    assert_eq!(oauth.access().await.unwrap_err().problem.code, Code::LedgerFull);
    assert_eq!(stage.tool.counts().refreshes, 1, "the tool is asked once");
    stage.rows.is_full.store(false, Ordering::SeqCst);
    oauth.access().await.unwrap();
    assert_eq!((stage.tool.counts().refreshes, stage.rows.version()), (1, 2));
    // The process dies after the disk and before the use: the next one goes on from there.
    stage.clock.advance(Duration::from_secs(1800));
    drop(stage.process().access().await.unwrap());
    drop(oauth);
    let next = stage.process();
    next.access().await.unwrap();
    stage.clock.advance(Duration::from_secs(1800));
    next.access().await.unwrap();
    let counts = stage.tool.counts();
    assert_eq!((counts.refreshes, counts.reused), (3, 0));
}

#[tokio::test]
async fn a_process_that_died_with_the_lease_holds_nobody_up_for_long() {
    let stage = Stage::new("").await;
    stage.sign_in(&stage.process()).await;
    stage.clock.advance(Duration::from_secs(1800));
    let now = stage.clock.now();
    assert!(
        stage
            .rows
            .lease_token("crm", "the dead", now, now.plus(LEASE))
            .await
            .unwrap()
    );
    let mut settings = stage.settings();
    settings.timer = Arc::new(Advancing(stage.clock.clone()));
    let oauth = OAuth::of(&stage.manifest(), &settings).unwrap().unwrap();
    oauth.access().await.unwrap();
    assert!(stage.clock.now().since(now) >= LEASE);
    assert_eq!(stage.tool.counts().refreshes, 1);
}

/// Waiting moves the calendar, and takes no time.
struct Advancing(Arc<TestClock>);

#[async_trait]
impl Timer for Advancing {
    fn elapsed(&self) -> Duration {
        self.0.now().since(NOW)
    }

    async fn wait(&self, time: Duration) {
        self.0.advance(time);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_secret_alone_is_enough_in_every_spelling() {
    for extra in [
        ", grant: client_credentials",
        ", grant: client_credentials, client_auth: basic",
        ", grant: client_credentials, body: json",
    ] {
        let stage = Stage::new(extra).await;
        let connection = stage.connection();
        connection.check().await.unwrap();
        stage.tool.expire();
        connection.check().await.unwrap();
        let counts = stage.tool.counts();
        assert_eq!((counts.direct, counts.served, counts.refused), (2, 2, 1), "{extra}");
        assert!(stage.rows.rows.lock().unwrap().is_empty(), "nothing worth keeping");
    }
}

#[tokio::test]
async fn a_signed_assertion_is_enough() {
    const EXTRA: &str = ", grant: jwt_bearer, assertion: {issuer: '{{ config.client_id }}', subject: me, audience: 'https://login', key: '{{ config.key }}'}";
    let stage = Stage::new(EXTRA).await;
    let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let settings = stage.settings().with_secret("key", &*pem);
    build(stage.manifest(), settings).unwrap().check().await.unwrap();
    assert_eq!((stage.tool.counts().direct, stage.tool.counts().served), (1, 1));
    let bad = stage.settings().with_secret("key", "c4n4ry");
    let failure = build(stage.manifest(), bad).unwrap().check().await.unwrap_err();
    assert_eq!(failure.class, Class::Auth);
    assert!(!format!("{failure:?}").contains("c4n4ry"));
    let names = Context::new().with("config", &serde_json::json!({"client_id": "i", "key": pem}));
    let spec = stage.manifest().oauth2.unwrap().assertion.unwrap();
    let token = ask::assertion(&spec, &names, NOW).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
    let public = aws_lc_rs::signature::KeyPair::public_key(&key);
    let verifier = &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(verifier, public);
    public.verify(signed.as_bytes(), &signature).unwrap();
}

/// A tool that says with every token at which host it is: here a second server.
#[tokio::test]
async fn h1_4_requests_follow_the_host_that_comes_with_a_token() {
    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, Uri};

    type Asked = Arc<Mutex<Vec<String>>>;
    async fn answer(State(asked): State<Asked>, uri: Uri, headers: HeaderMap) -> String {
        let host = headers["host"].to_str().unwrap();
        asked.lock().unwrap().push(uri.to_string());
        match uri.path() {
            "/token" => format!(r#"{{"access_token":"t","api":{{"host":"http://{host}"}}}}"#),
            "/v1/rows" => format!(r#"{{"rows":[],"next":"http://{host}/v1/more?p=2"}}"#),
            _ => r#"{"rows":[]}"#.to_owned(),
        }
    }
    let asked = Asked::default();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
    tokio::spawn(async move { axum::serve(listener, router).await });
    // Nobody listens at `base`.
    let text = format!(
        "
connector: acme
format: 1
config: {{client_secret: {{secret: true}}}}
base: http://127.0.0.1:1/v1
oauth2: {{grant: client_credentials, token: 'http://127.0.0.1:{port}/token', client_id: x, client_secret: '{{{{ config.client_secret }}}}', host: api.host}}
objects: {{contact: {{id: id, read: {{full: {{every: 1d}}, request: GET /rows, records: rows, page: {{by: next_url, from: next}}}}, fields: {{email: email}}}}}}
"
    );
    let manifest = Manifest::parse("acme.yaml", &text).unwrap();
    let settings = ConnectionSettings::new("crm").with_secret("client_secret", "s3cret");
    let connection = build(manifest.clone(), settings.clone()).unwrap();
    let first = connection.pull("contact", None).await.unwrap();
    // The page is kept without its host, and goes to the one of the day.
    assert!(!first.next.0.contains("127.0.0.1"), "{}", first.next.0);
    let again = build(manifest.clone(), settings.clone()).unwrap();
    assert!(again.pull("contact", Some(&first.next)).await.unwrap().is_caught_up);
    let paths = ["/token", "/v1/rows", "/token", "/v1/more?p=2"];
    assert_eq!(*asked.lock().unwrap(), paths);
    // An address that the admin sets is where requests go.
    let mut fixed = settings;
    fixed.base = Some("http://127.0.0.1:1".to_owned());
    let connection = build(manifest, fixed).unwrap();
    assert!(connection.pull("contact", None).await.is_err());
}
