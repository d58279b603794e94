//! `nivel auth` from the command line, against a tool on loopback: a person agrees, the grant is sealed and looked after.

#![expect(
    clippy::unwrap_used,
    reason = "the lints spare test functions only, not what helps them"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nivel::sandbox::oauth::{CLIENT_ID, CLIENT_SECRET, OAuthTool};
use reqwest::redirect::Policy;

pub(crate) fn nivel(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
    command.current_dir(dir).env_clear().args(words);
    command
}

pub(crate) fn run(dir: &Path, words: &[&str]) -> Output {
    nivel(dir, words).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A connector that signs in at `base`, and a system that uses it.
pub(crate) fn prepare(dir: &Path, base: &str) {
    let connector = dir.join("connectors/acme");
    std::fs::create_dir_all(&connector).unwrap();
    let manifest = format!(
        "
connector: acme
format: 1
config: {{client_id: {{}}, client_secret: {{secret: true}}}}
base: {base}
oauth2: {{authorize: '{base}/authorize', token: '{base}/token', client_id: '{{{{ config.client_id }}}}', client_secret: '{{{{ config.client_secret }}}}', scopes: [people.read]}}
check: GET /me
errors: [{{status: 401, class: auth}}]
objects: {{contact: {{id: id, match: [email], read: {{full: {{every: 1d}}, request: GET /me, records: data}}, fields: {{email: email}}}}}}
"
    );
    std::fs::write(connector.join("manifest.yaml"), manifest).unwrap();
    let config = format!(
        "
data_dir: data
connectors_dir: connectors
systems:
  crm: {{connector: acme, role: sales, config: {{client_id: {CLIENT_ID}, client_secret: \"{CLIENT_SECRET}\"}}}}
"
    );
    std::fs::write(dir.join("nivel.yaml"), config).unwrap();
}

/// Signs in: `follow` says what is done with the address that the tool sends the person to.
pub(crate) async fn sign_in(dir: &Path, words: &[&str], follow: impl AsyncFnOnce(String) -> Option<String>) -> Output {
    let mut process = nivel(dir, words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(process.stderr.take().unwrap());
    let mut said = String::new();
    let address = loop {
        let mut line = String::new();
        assert!(told.read_line(&mut line).unwrap() > 0, "no address was shown: {said}");
        said.push_str(&line);
        if let Some(address) = line.strip_prefix("open ") {
            break address.trim().to_owned();
        }
    };
    // What the app in the tool must have is told.
    assert!(
        said.contains(CLIENT_ID) && said.contains("people.read") && said.contains("/callback"),
        "{said}"
    );
    let browser = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let answer = browser.get(&address).send().await.unwrap();
    let next = answer.headers()["location"].to_str().unwrap().to_owned();
    if let Some(typed) = follow(next).await {
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(typed.as_bytes()).unwrap();
    }
    process.wait_with_output().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn p67_a_person_signs_in_by_browser_or_by_paste() {
    let tool = OAuthTool::start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    prepare(dir, &tool.base);
    let redirect = format!("http://127.0.0.1:{}/callback", free_port());
    let browsed = sign_in(dir, &["auth", "crm", "--redirect", &redirect], async |next| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        assert!(client.get(next).send().await.unwrap().status().is_success());
        None
    })
    .await;
    assert!(browsed.status.success(), "{}", text(&browsed.stderr));
    assert!(text(&browsed.stdout).contains("renews by itself"));
    let pasted = sign_in(dir, &["auth", "crm", "--paste"], async |next| Some(format!("{next}\n"))).await;
    assert!(pasted.status.success(), "{}", text(&pasted.stderr));
    assert_eq!(tool.counts().consents, 2);
    let list = run(dir, &["auth", "list", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list["grants"][0]["system"], "crm");
    assert!(!list.to_string().contains("access-"), "no token is shown");
    // And it is used: by a sync, and by the check beside which no daemon runs.
    for verb in [&["sync", "--approve"][..], &["check"]] {
        let done = run(dir, verb);
        assert!(done.status.success(), "{verb:?}: {}", text(&done.stderr));
    }
    assert_eq!((tool.counts().served, tool.counts().refused), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn p59_keys_are_rotated_and_never_made_anew_over_old_tokens() {
    let tool = OAuthTool::start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    prepare(dir, &tool.base);
    let signed = sign_in(dir, &["auth", "crm", "--paste"], async |next| Some(next)).await;
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    let file = dir.join("data/token.key");
    let old = std::fs::read_to_string(&file).unwrap();
    let rotated = run(dir, &["auth", "rotate-key"]);
    assert!(
        text(&rotated.stdout).contains("1 grant sealed"),
        "{}",
        text(&rotated.stderr)
    );
    let new = std::fs::read_to_string(&file).unwrap();
    assert!(new != old && new.lines().count() == 1);
    assert!(run(dir, &["auth", "check"]).status.success());
    // The key of a backup that is too old: named, and nothing starts.
    std::fs::write(&file, &old).unwrap();
    assert!(!run(dir, &["auth", "check"]).status.success());
    let refused = run(dir, &["sync", "--approve"]);
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("AUT002"),
        "{}",
        text(&refused.stderr)
    );
    // No key at all: none is made over the old token, neither to start nor to sign in.
    std::fs::remove_file(&file).unwrap();
    for words in [vec!["sync"], vec!["auth", "crm", "--paste"]] {
        let refused = run(dir, &words);
        let said = text(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains("AUT003"),
            "{words:?}: {said}"
        );
    }
    assert!(!file.exists());
    // A key of the config: the first seals, the second still opens.
    let both = format!("{}\n{}", old.trim(), new.trim());
    let config = std::fs::read_to_string(dir.join("nivel.yaml")).unwrap();
    std::fs::write(dir.join("keys"), both).unwrap();
    std::fs::write(dir.join("nivel.yaml"), format!("token_key: {{file: keys}}\n{config}")).unwrap();
    assert!(run(dir, &["sync", "--approve"]).status.success());
    assert!(run(dir, &["auth", "rotate-key"]).status.success());
    std::fs::write(dir.join("keys"), &old).unwrap();
    let synced = run(dir, &["sync", "--approve"]);
    assert!(synced.status.success(), "{}", text(&synced.stderr));
}
