//! Where the database is, and whether the way there must be encrypted. Pure.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Code, Problem};

/// Which database, and how it is reached.
#[derive(Clone, Debug)]
pub(super) enum Address {
    /// `postgres://user:password@host/database`
    Postgres(Box<tokio_postgres::Config>),
    /// `mysql://user:password@host/database`, also MariaDB.
    MySql(Box<mysql_async::Opts>),
    /// `sqlite:path`
    Sqlite(PathBuf),
}

/// What an address looks like.
const WANTED: &str = "postgres://user:password@host/database, mysql://user:password@host/database or sqlite:path";

impl Address {
    /// Reads an address. No message repeats any of it, since it holds a password.
    pub(super) fn parse(url: &SecretString) -> Result<Self, Problem> {
        let url = url.expose_secret();
        let bad = |what: &str| Err(Problem::new(Code::ConfigInvalid, what).hint(format!("write {WANTED}")));
        match url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => match url.parse::<tokio_postgres::Config>() {
                Ok(config) if config.get_user().is_none() => bad("the address names no user"),
                Ok(config) if config.get_hosts().is_empty() => bad("the address names no host"),
                Ok(config) => Ok(Self::Postgres(Box::new(config))),
                Err(_secret) => bad("the address of the database cannot be read"),
            },
            Some(("mysql" | "mariadb", rest)) => match mysql_async::Opts::from_url(&format!("mysql:{rest}")) {
                Ok(opts) if opts.db_name().is_none() => bad("the address names no database"),
                Ok(opts) => Ok(Self::MySql(Box::new(opts))),
                Err(_secret) => bad("the address of the database cannot be read"),
            },
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.trim_start_matches("//").into())),
            _ => bad("the address is not one of a database that Nivel speaks to"),
        }
    }

    /// True when nothing on the way can listen.
    fn is_here(&self) -> bool {
        let is_loopback = |host: &str| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let address = host.parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        };
        match self {
            Self::Postgres(config) => config.get_hosts().iter().all(|host| match host {
                tokio_postgres::config::Host::Tcp(host) => is_loopback(host),
                #[cfg(unix)]
                tokio_postgres::config::Host::Unix(_) => true,
            }),
            Self::MySql(opts) => opts.socket().is_some() || is_loopback(opts.ip_or_hostname()),
            Self::Sqlite(_) => true,
        }
    }

    /// Whether the way is encrypted: as the admin says, else everywhere but on this machine.
    pub(super) fn is_encrypted(&self, said: Option<bool>) -> bool {
        said.unwrap_or_else(|| !self.is_here()) && !matches!(self, Self::Sqlite(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, wanted: Result<bool, &str>) {
        let found = Address::parse(&SecretString::from(url)).map(|address| address.is_encrypted(None));
        assert_eq!(
            found.as_ref().map_err(|problem| problem.message.as_str()),
            wanted.as_ref().map_err(|text| *text),
            "{url}"
        );
        if let Err(problem) = found {
            assert!(!problem.to_string().contains("geheim"));
        }
    }

    #[test]
    fn everything_that_leaves_this_machine_is_encrypted() {
        check("postgres://n:geheim@db.example.com/shop", Ok(true));
        check("postgres://n:geheim@127.0.0.1:5433/shop", Ok(false));
        check("postgresql://n@localhost/shop", Ok(false));
        check("postgres://n@%2Frun%2Fpostgresql/shop", Ok(false));
        check("postgres://n@localhost,db.example.com/shop", Ok(true));
        check("mysql://n:geheim@10.0.0.7/shop", Ok(true));
        check("mariadb://n:geheim@[::1]/shop", Ok(false));
        check("sqlite:/var/lib/shop.db", Ok(false));
        check("postgres://geheim@", Err("the address names no host"));
        check("mysql://n:geheim@db", Err("the address names no database"));
        check(
            "oracle://n:geheim@db",
            Err("the address is not one of a database that Nivel speaks to"),
        );
        let far = Address::parse(&SecretString::from("mysql://n@10.0.0.7/shop")).unwrap();
        assert!(!far.is_encrypted(Some(false)));
    }
}
