//! Notices by mail. TLS is required unless the server is on this machine.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;
use url::Url;

use crate::config::MailTarget;
use crate::error::{Code, Problem};
use crate::fault;
use crate::sync::alert::Notice;

/// How much of a notice's first line is the subject.
const SUBJECT_MAX: usize = 100;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cover {
    /// TLS from the first byte.
    Whole,
    /// TLS after a word in the clear; the server must offer it.
    StartTls,
    /// None: it does not leave this machine.
    Nothing,
}

fn cover(server: &Url) -> Cover {
    let is_here = match server.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        // `smtp` is no scheme whose hosts the parser reads: an address comes as a name.
        Some(url::Host::Domain(name)) => {
            let name = name.trim_matches(['[', ']']);
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        None => false,
    };
    match server.scheme() {
        "smtps" => Cover::Whole,
        _ if is_here => Cover::Nothing,
        _ => Cover::StartTls,
    }
}

/// The way to one mail server.
pub(super) struct Mailer {
    target: MailTarget,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Mailer {
    /// # Errors
    /// When the TLS library cannot be set up.
    pub(super) fn new(target: &MailTarget, patience: Duration) -> Result<Self, Problem> {
        let host = target.server.host_str().unwrap_or_default().to_owned();
        let tls = || {
            let parameters = TlsParameters::new(host.clone());
            parameters.map_err(|error| Problem::new(Code::AlertUndelivered, error.to_string()))
        };
        let (tls, port) = match cover(&target.server) {
            Cover::Whole => (Tls::Wrapper(tls()?), 465),
            Cover::StartTls => (Tls::Required(tls()?), 587),
            Cover::Nothing => (Tls::None, 25),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host)
            .port(target.server.port().unwrap_or(port))
            .tls(tls)
            .timeout(Some(patience));
        if let Some((user, password)) = &target.user {
            let password = password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self {
            target: target.clone(),
            transport: builder.build(),
        })
    }

    /// Sends one notice. Its number is the message's: whoever gets it twice can tell.
    ///
    /// # Errors
    /// Why the server did not take it, without its address.
    pub(super) async fn deliver(&self, notice: &Notice) -> Result<(), String> {
        let message = message(&self.target, notice)?;
        let sent = fault::effect("send", self.transport.send(message)).await;
        match sent {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => match error.status() {
                Some(status) => Err(format!("the mail server answered with {status}")),
                None if error.is_timeout() => Err("the mail server took too long".to_owned()),
                None if error.is_tls() => Err("the mail server offers no TLS that can be trusted".to_owned()),
                None => Err("the mail server did not answer, or not as one".to_owned()),
            },
            Err(prevented) => Err(prevented.to_string()),
        }
    }
}

fn message(target: &MailTarget, notice: &Notice) -> Result<Message, String> {
    let text = notice.text();
    let subject: String = text
        .lines()
        .next()
        .unwrap_or("Nivel")
        .chars()
        .take(SUBJECT_MAX)
        .collect();
    let domain = target.from.email.domain();
    let mut builder = Message::builder()
        .from(target.from.clone())
        .message_id(Some(format!("<nivel-{}-{}@{domain}>", notice.at.0, notice.number)))
        .subject(subject)
        .header(ContentType::TEXT_PLAIN);
    for to in &target.to {
        builder = builder.to(to.clone());
    }
    builder.body(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_is_covered() {
        for (server, expected) in [
            ("smtps://mail.example.com", Cover::Whole),
            ("smtps://127.0.0.1:465", Cover::Whole),
            ("smtp://mail.example.com:25", Cover::StartTls),
            ("smtp://10.0.0.7", Cover::StartTls),
            ("smtp://localhost.example.com", Cover::StartTls),
            ("smtp://localhost", Cover::Nothing),
            ("smtp://127.0.0.1:2525", Cover::Nothing),
            ("smtp://[::1]:2525", Cover::Nothing),
        ] {
            assert_eq!(cover(&Url::parse(server).unwrap()), expected, "{server}");
        }
    }
}
