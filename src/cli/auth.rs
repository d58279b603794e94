//! `nivel auth`: somebody agrees that Nivel may use a tool, and what became of that.

use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line, table};
use crate::connector::oauth::SignIn;
use crate::daemon::{GrantLine, Vault};
use crate::error::{Code, Problem};
use crate::http::callback;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Sign in to a tool that gives access by OAuth
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "The tool's app must know the redirect address. Without a browser on this machine use --paste: open the\n\
address anywhere, and paste the address you end up at.\n\n\
Example:\n  nivel auth marketing-hub\n  nivel auth marketing-hub --paste\n  nivel auth list"
)]
pub(super) struct Auth {
    #[command(subcommand)]
    what: Option<What>,
    /// The system to sign in to
    #[arg(required = true)]
    system: Option<String>,
    /// Where the tool sends you afterwards, as the app there knows it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8441/callback")]
    redirect: String,
    /// Paste the address (or the code) instead of listening for it
    #[arg(long)]
    paste: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the grants there are
    List,
    /// Prove that every grant opens with the key there is
    Check,
    /// Seal every grant with a new key
    RotateKey,
    /// Remove a system's grant for good
    Forget {
        /// The system
        system: String,
    },
}

impl Auth {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        match (&self.what, &self.system) {
            (None, Some(system)) => {
                self.sign_in(context, &Vault::open(&config, &context.clock)?, system)
                    .await
            }
            (None, None) => Err(Problem::new(Code::NotFound, "which system?").into()),
            (Some(What::List | What::Check), _) => {
                let grants = Vault::open_to_read(&config, &context.clock)?.list().await?;
                let is_bad = grants.iter().any(|grant| grant.problem.is_some());
                context.output.show(&Grants { grants });
                Ok(if is_bad { Exit::Problem } else { Exit::Fine })
            }
            (Some(What::RotateKey), _) => {
                let (changed, key_id) = Vault::open(&config, &context.clock)?.rotate_key().await?;
                let key_id = key_id.to_string();
                context.output.show(&Rotated { changed, key_id });
                Ok(Exit::Fine)
            }
            (Some(What::Forget { system }), _) => {
                if Vault::open(&config, &context.clock)?.forget(system).await? {
                    context.output.note(format_args!("the grant of {system} is gone"));
                    return Ok(Exit::Fine);
                }
                Err(Problem::new(Code::NotFound, "there is no grant of that system")
                    .about(system)
                    .into())
            }
        }
    }

    async fn sign_in(&self, context: &Context, vault: &Vault, system: &str) -> Result<Exit, Failed> {
        let oauth = vault.oauth(system).await.map_err(Failed::from_all)?;
        let sign_in = oauth.sign_in(&self.redirect).map_err(|failure| failure.problem)?;
        // Before the address is shown: a port that is taken is known before the person has agreed.
        let listener = match self.paste {
            true => None,
            false => Some(callback::listen(loopback(&self.redirect)?).await?),
        };
        let scopes = if sign_in.scopes.is_empty() {
            "(none named)"
        } else {
            &sign_in.scopes
        };
        let notes = [
            format!("client id  {}", sign_in.client_id),
            format!("scopes     {scopes}"),
            format!("redirect   {}", sign_in.redirect),
            "           the app in the tool must have the same".to_owned(),
            format!("open       {}", sign_in.url),
        ];
        notes.iter().for_each(|note| context.output.note(note));
        let came = match listener {
            Some(listener) => tokio::time::timeout(PATIENCE, callback::answer(listener))
                .await
                .map_err(|_elapsed| Problem::new(Code::NotSignedIn, "nobody has agreed in time"))??,
            None => {
                context.output.note("paste the address you end up at, or the code:");
                typed().await?
            }
        };
        self.accept(context, vault, system, &oauth, &sign_in, &came).await
    }

    async fn accept(
        &self,
        context: &Context,
        vault: &Vault,
        system: &str,
        oauth: &crate::connector::oauth::OAuth,
        sign_in: &SignIn,
        came: &str,
    ) -> Result<Exit, Failed> {
        let code = sign_in.code(came, self.paste)?;
        let accepted = vault
            .accept(oauth, sign_in, &code)
            .await
            .map_err(|failure| failure.problem)?;
        let grant = GrantLine {
            system: system.into(),
            ..accepted
        };
        context.output.show(&Grants { grants: vec![grant] });
        Ok(Exit::Fine)
    }
}

/// Where a redirect to this machine is heard.
fn loopback(redirect: &str) -> Result<SocketAddr, Problem> {
    let bad = || {
        Problem::new(Code::NotFound, "this machine can hear http addresses of its own only")
            .about(redirect)
            .hint("with another redirect address use `--paste`")
    };
    let url = url::Url::parse(redirect).map_err(|_error| bad())?;
    let port = url.port().ok_or_else(bad)?;
    let ip = match url.host() {
        Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(url::Host::Domain("localhost")) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => return Err(bad()),
    };
    if url.scheme() == "http" && ip.is_loopback() {
        Ok(SocketAddr::new(ip, port))
    } else {
        Err(bad())
    }
}

async fn typed() -> Result<String, Problem> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_bytes| line)
    });
    match read.await {
        Ok(Ok(line)) => Ok(line),
        _ => Err(Problem::new(Code::NotSignedIn, "nothing was pasted")),
    }
}

#[derive(Serialize)]
struct Grants {
    grants: Vec<GrantLine>,
}

impl Show for Grants {
    fn text(&self) -> String {
        let mut text = String::new();
        let row = |grant: &GrantLine| {
            let state = match (&grant.problem, grant.renews, &grant.expires_at) {
                (Some(problem), _, _) => problem.to_string(),
                (None, true, _) => "renews by itself".to_owned(),
                (None, false, Some(end)) => format!("runs out at {end}"),
                (None, false, None) => "does not run out".to_owned(),
            };
            [
                grant.system.to_string(),
                grant.key_id.to_string(),
                grant.updated_at.to_string(),
                state,
            ]
        };
        if self.grants.is_empty() {
            line(&mut text, "there is no grant");
        } else {
            let rows = self.grants.iter().map(row);
            line(&mut text, table(["system", "key", "renewed", "state"], rows));
        }
        text
    }
}

#[derive(Serialize)]
struct Rotated {
    changed: usize,
    key_id: String,
}

impl Show for Rotated {
    fn text(&self) -> String {
        let grants = count(u64::try_from(self.changed).unwrap_or(u64::MAX), "grant");
        format!(
            "{grants} sealed with key {}; the old key is not needed any more",
            self.key_id
        )
    }
}
