//! The way to a database is encrypted, and the database is who it says it is: against real servers with certificates of
//! their own.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use nivel::error::Code;

use super::base::{Base, Kind, Server, TABLE};
use super::{connect, ids, read};

/// Two authorities, and a server that one of them vouches for.
pub(super) fn make_certificates(folder: &Path) {
    let openssl = |words: &str| {
        let output = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(folder)
            .output();
        let output = output.unwrap_or_else(|error| panic!("openssl: {error}; tests/setup.sh test installs it"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for name in ["ca", "other"] {
        openssl(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"
        ));
    }
    openssl(&format!(
        "req {key} -keyout server.key -out server.csr -subj /CN=127.0.0.1"
    ));
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem");
    std::fs::write(
        folder.join("hba"),
        "hostnossl all strict 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\n",
    )
    .unwrap();
}

/// What tells a server of them.
pub(super) fn options(kind: Kind, folder: &Path) -> Vec<OsString> {
    let at = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) = (at("server.pem"), at("server.key"));
    let words = match kind {
        Kind::Postgres => vec![
            "-c".to_owned(),
            "ssl=on".to_owned(),
            "-c".to_owned(),
            format!("ssl_cert_file={certificate}"),
            "-c".to_owned(),
            format!("ssl_key_file={key}"),
            "-c".to_owned(),
            format!("hba_file={}", at("hba")),
        ],
        _ => vec![format!("--ssl-cert={certificate}"), format!("--ssl-key={key}")],
    };
    words.into_iter().map(OsString::from).collect()
}

async fn on(kind: Kind) {
    let Some(server) = Server::start_encrypted(kind).await else {
        return;
    };
    let base = server.base("shop_tls").await;
    base.make_customers().await;
    base.run("INSERT INTO customers (mail, last_name) VALUES ('ann@a.fi', 'Berg')")
        .await;
    let strict = base.seen_by("strict");
    let with = |words: &str| TABLE.replacen("      timeout: 10s", &format!("      timeout: 10s\n{words}"), 1);
    let trusting = |name: &str| with(&format!("      tls: on\n      ca: {}", server.at(name).display()));

    let connection = connect(&strict, &trusting("ca.pem"));
    connection.check().await.unwrap();
    // Met twice: in the reading of everything, and in the changes meanwhile, which reach back a little.
    let (records, swept) = read(&connection, &mut None).await;
    assert_eq!((ids(&records).len(), swept.unwrap().len()), (1, 1));
    assert_eq!(
        refused(&strict, &with("      tls: off")).await,
        "CON005",
        "the server wants it"
    );
    assert_eq!(
        refused(&strict, &trusting("other.pem")).await,
        "CON001",
        "another authority"
    );
    assert_eq!(
        refused(&strict, &with("      tls: on")).await,
        "CON001",
        "an authority that nobody knows"
    );
    // Who is meant stands in the certificate; `localhost` does not.
    let elsewhere = strict.at_host("localhost");
    assert_eq!(refused(&elsewhere, &trusting("ca.pem")).await, "CON001", "another name");
}

async fn refused(base: &Base, config: &str) -> &'static str {
    let failure = connect(base, config).check().await.unwrap_err();
    let code: Code = failure.problem.code;
    code.as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_who_it_says_it_is() {
    on(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_who_it_says_it_is() {
    on(Kind::MariaDb).await;
}
