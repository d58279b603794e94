//! Alerts by mail, to a mail server of sixty lines.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::trial::Trial;

/// Everything that was said to the server, line by line.
type Heard = Arc<Mutex<Vec<String>>>;

/// A mail server on this machine that offers no TLS, and takes mails or refuses their receivers.
async fn server(takes: bool) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = Heard::default();
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&kept), takes));
        }
    });
    (address, heard)
}

async fn talk(stream: TcpStream, heard: Heard, takes: bool) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 here\r\n").await.ok()?;
    let mut is_mail = false;
    while let Some(line) = lines.next_line().await.ok()? {
        heard.lock().unwrap().push(line.clone());
        let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let answer = match word.as_str() {
            _ if is_mail && line != "." => continue,
            _ if is_mail => "250 taken",
            "EHLO" => "250-here\r\n250 AUTH PLAIN",
            "AUTH" => "235 welcome",
            "RCPT" if !takes => "550 nobody here",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        is_mail = word == "DATA" && !is_mail;
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_and_a_refused_one_is_told_without_its_server() {
    let trial = Trial::new(3, 1).await;
    let (good, heard) = server(true).await;
    let (bad, _) = server(false).await;
    let rest = "from: Nivel <nivel@example.com>, to: [it@example.com, Ops <ops@example.com>]";
    let targets = format!(
        "alerts: {{to: {{it: {{smtp: \"smtp://{good}\", {rest}, user: nivel, password: canary-7}}, \
         old: {{smtp: \"smtp://{bad}\", {rest}}}, tls: {{smtp: \"smtps://{good}\", {rest}}}}}}}\n"
    );
    trial.reconfigure(|text| text + &targets);
    let output = trial.nivel(&["alert", "test"], None).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("delivered").count(), 1, "{text}");
    assert_eq!(text.matches("ALR001").count(), 2, "no TLS, no mail: {text}");
    assert!(text.contains("550") && !text.contains("127.0.0.1"), "{text}");
    assert!(!text.contains("canary-7"), "{text}");
    let heard = heard.lock().unwrap().join("\n");
    for said in [
        "AUTH PLAIN",
        "MAIL FROM:<nivel@example.com>",
        "RCPT TO:<it@example.com>",
        "RCPT TO:<ops@example.com>",
        "From: Nivel <nivel@example.com>",
        "Message-ID: <nivel-",
        "Subject: ",
    ] {
        assert!(heard.contains(said), "{said}:\n{heard}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_mail_target_is_said_at_once() {
    let trial = Trial::new(3, 0).await;
    let wrong = "alerts: {to: {it: {smtp: mail.example.com, from: nobody, to: [a b], user: x}}}\n";
    trial.reconfigure(|text| text + wrong);
    let output = trial.nivel(&["check"], None).await;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for said in ["a mail server", "an address", "`a b` is no address", "belong together"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}
