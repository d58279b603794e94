//! Databases of our own: a SQLite file, a PostgreSQL and a MariaDB server, each on a free port and in a folder of its own.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
    MariaDb,
}

/// A server that runs for one test; killed when dropped.
pub(super) struct Server {
    kind: Kind,
    port: u16,
    process: Option<Child>,
    dir: TempDir,
}

/// One database, empty at first.
pub(super) struct Base {
    pub(super) kind: Kind,
    pub(super) url: String,
    _dir: Option<TempDir>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program, on the path or where Debian hides it.
fn program(name: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    folders.push("/usr/sbin".into());
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.filter_map(|version| Some(version.ok()?.path().join("bin"))));
    }
    // A link from elsewhere may be a wrapper; the versions' own folders come last and count most.
    folders
        .into_iter()
        .rev()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Servers refuse to run as root: then they run as the user of their package.
fn as_user(user: &str, command: &mut Command) {
    let id = |kind: &str| {
        let output = Command::new("id").args([kind, user]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().ok()
    };
    if let (Some(0), Some(uid), Some(gid)) = (own_id(), id("-u"), id("-g")) {
        command.uid(uid).gid(gid);
    }
}

fn own_id() -> Option<u32> {
    let output = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

fn give_to(user: &str, folder: &Path) {
    if own_id() == Some(0) {
        let status = Command::new("chown").arg("-R").arg(user).arg(folder).status().unwrap();
        assert!(status.success());
    }
}

/// Makes the folder that a server keeps its data in.
fn install(kind: Kind, data: &Path) -> Command {
    if kind == Kind::Postgres {
        let mut install = Command::new(program("initdb").unwrap());
        install.args("-A trust -U nivel --no-sync -E UTF8 --locale=C.UTF-8 -D".split(' '));
        install.arg(data);
        return install;
    }
    let mut install = Command::new(program("mariadb-install-db").unwrap());
    install.args("--no-defaults --auth-root-authentication-method=normal --skip-test-db".split(' '));
    install.arg(format!("--datadir={}", data.display()));
    install
}

impl Server {
    /// `None`, with a word about it, when the server is not on this machine.
    pub(super) async fn start(kind: Kind) -> Option<Self> {
        Self::start_with(kind, false).await
    }

    /// With certificates of its own, and a user `strict` who is let in over an encrypted way only.
    pub(super) async fn start_encrypted(kind: Kind) -> Option<Self> {
        let server = Self::start_with(kind, true).await?;
        let root = server.root_base();
        match kind {
            Kind::Postgres => root.run("CREATE ROLE strict SUPERUSER LOGIN").await,
            _ => {
                root.run("CREATE USER strict@'127.0.0.1' REQUIRE SSL;\nGRANT ALL ON *.* TO strict@'127.0.0.1'")
                    .await
            }
        };
        Some(server)
    }

    /// A file of the server's folder.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn start_with(kind: Kind, is_encrypted: bool) -> Option<Self> {
        let (needed, user) = match kind {
            Kind::Postgres => ("postgres", "postgres"),
            Kind::MariaDb => ("mariadbd", "mysql"),
            Kind::Sqlite => return None,
        };
        let Some(server) = program(needed) else {
            println!("SKIPPED: no {needed} on this machine, so databases of this kind are not tested for real");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("nivel-sql-").tempdir().unwrap();
        if is_encrypted {
            super::tls::make_certificates(dir.path());
        }
        give_to(user, dir.path());
        let data = dir.path().join("data");
        let port = free_port();
        let mut install = install(kind, &data);
        as_user(user, install.current_dir(dir.path()).stdout(Stdio::null()));
        let installed = install.output().unwrap();
        assert!(
            installed.status.success(),
            "{}",
            String::from_utf8_lossy(&installed.stderr)
        );
        let mut command = Command::new(server);
        match kind {
            Kind::Postgres => {
                command
                    .arg("-D")
                    .arg(&data)
                    .args(["-p", &port.to_string(), "-c", "fsync=off"]);
                command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
            }
            _ => {
                command
                    .args(["--no-defaults", "--bind-address=127.0.0.1"])
                    .arg(format!("--port={port}"));
                command.arg(format!("--datadir={}", data.display()));
                command.arg(format!("--socket={}", dir.path().join("socket").display()));
                command.arg(format!("--pid-file={}", dir.path().join("pid").display()));
            }
        }
        if is_encrypted {
            command.args(super::tls::options(kind, dir.path()));
        }
        as_user(
            user,
            command
                .current_dir(dir.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let server = Self {
            kind,
            port,
            process: Some(command.spawn().unwrap()),
            dir,
        };
        server.wait().await;
        Some(server)
    }

    /// Waits for a process outside; there is nothing to be notified by.
    async fn wait(&self) {
        for _ in 0..1_000 {
            let answers = match self.kind {
                Kind::Postgres => tokio_postgres::connect(&self.root(), NoTls).await.is_ok(),
                _ => mysql_async::Conn::from_url(self.root()).await.is_ok(),
            };
            if answers {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server does not answer");
    }

    fn root(&self) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://nivel@127.0.0.1:{}/postgres", self.port),
            _ => format!("mysql://root@127.0.0.1:{}/mysql?prefer_socket=false", self.port),
        }
    }

    fn root_base(&self) -> Base {
        Base {
            kind: self.kind,
            url: self.root(),
            _dir: None,
        }
    }

    /// A new database.
    pub(super) async fn base(&self, name: &str) -> Base {
        let root = self.root_base();
        root.run(&format!("CREATE DATABASE {name}")).await;
        Base {
            url: match self.kind {
                Kind::Postgres => format!("postgres://nivel@127.0.0.1:{}/{name}", self.port),
                _ => format!("mysql://root@127.0.0.1:{}/{name}", self.port),
            },
            ..root
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Base {
    /// The same, as another user.
    pub(super) fn seen_by(&self, user: &str) -> Self {
        let own = if self.kind == Kind::Postgres { "nivel@" } else { "root@" };
        Self {
            kind: self.kind,
            url: self.url.replacen(own, &format!("{user}@"), 1),
            _dir: None,
        }
    }

    /// The same, under another name of its host.
    pub(super) fn at_host(&self, host: &str) -> Self {
        Self {
            kind: self.kind,
            url: self.url.replace("127.0.0.1", host),
            _dir: None,
        }
    }

    /// A new file.
    pub(super) fn file() -> Self {
        let dir = crate::trial::scratch();
        let file = dir.path().join("shop.db");
        rusqlite::Connection::open(&file)
            .unwrap()
            .execute_batch("PRAGMA journal_mode = WAL")
            .unwrap();
        Self {
            kind: Kind::Sqlite,
            url: format!("sqlite:{}", file.display()),
            _dir: Some(dir),
        }
    }

    /// Carries out statements, apart by semicolons where the server takes several; the rows of the last one as text.
    pub(super) async fn run(&self, text: &str) -> Vec<Vec<Option<String>>> {
        match self.kind {
            Kind::Sqlite => self.run_in_file(text),
            Kind::Postgres => self.run_in_postgres(text).await,
            Kind::MariaDb => self.run_in_mariadb(text).await,
        }
    }

    fn run_in_file(&self, text: &str) -> Vec<Vec<Option<String>>> {
        let connection = rusqlite::Connection::open(self.url.strip_prefix("sqlite:").unwrap()).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        if !text.starts_with("SELECT") {
            connection.execute_batch(text).unwrap();
            return Vec::new();
        }
        let mut prepared = connection.prepare(text).unwrap();
        let width = prepared.column_count();
        let rows = prepared.query_map([], |row| {
            let cell = |index| match row.get_ref(index).unwrap() {
                rusqlite::types::ValueRef::Null => None,
                rusqlite::types::ValueRef::Integer(number) => Some(number.to_string()),
                other => Some(other.as_str().unwrap().to_owned()),
            };
            Ok((0..width).map(cell).collect())
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    async fn run_in_postgres(&self, text: &str) -> Vec<Vec<Option<String>>> {
        let (client, line) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        let line = tokio::spawn(line);
        let told = client.simple_query(text).await.unwrap();
        drop(client);
        line.await.unwrap().unwrap();
        let rows = told.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        });
        rows.collect()
    }

    async fn run_in_mariadb(&self, text: &str) -> Vec<Vec<Option<String>>> {
        let opts = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(&self.url).unwrap());
        let mut connection = mysql_async::Conn::new(opts.prefer_socket(false)).await.unwrap();
        let mut rows = Vec::new();
        for statement in text.split(";\n").filter(|statement| !statement.trim().is_empty()) {
            let told: Vec<mysql_async::Row> = connection.query(statement).await.unwrap();
            rows = told.into_iter().map(mysql_async::Row::unwrap).collect();
        }
        connection.disconnect().await.unwrap();
        let cell = |value| match value {
            mysql_async::Value::NULL => None,
            mysql_async::Value::Bytes(bytes) => Some(String::from_utf8(bytes).unwrap()),
            other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
        };
        rows.into_iter()
            .map(|row: Vec<_>| row.into_iter().map(cell).collect())
            .collect()
    }

    /// The only value of a statement.
    pub(super) async fn one(&self, text: &str) -> Option<String> {
        let rows = self.run(text).await;
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{text}: {rows:?}");
        rows[0][0].clone()
    }

    /// The table that the tests are about: every type there is, a name that needs quotes, and a clock of its own.
    pub(super) async fn make_customers(&self) {
        let text = match self.kind {
            Kind::Sqlite => {
                "CREATE TABLE customers (id INTEGER PRIMARY KEY, mail TEXT UNIQUE, \"first \"\"name\" TEXT, \
                 last_name TEXT NOT NULL DEFAULT '', phone TEXT, tags TEXT, vip INTEGER, class INTEGER, \
                 since TEXT, gone INTEGER NOT NULL DEFAULT 0, updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')));
                 CREATE TRIGGER touched AFTER UPDATE ON customers WHEN new.updated_at = old.updated_at BEGIN
                 UPDATE customers SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = new.id; END;"
            }
            Kind::Postgres => {
                "CREATE TABLE customers (id BIGSERIAL PRIMARY KEY, mail VARCHAR(200) UNIQUE, \"first \"\"name\" TEXT, \
                 last_name TEXT NOT NULL DEFAULT '', phone TEXT, tags TEXT[], vip BOOLEAN, class SMALLINT, \
                 since TIMESTAMP, gone BOOLEAN NOT NULL DEFAULT false, updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp());
                 CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF new.updated_at = old.updated_at THEN new.updated_at = clock_timestamp(); END IF; RETURN new; END $$;
                 CREATE TRIGGER touched BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();"
            }
            Kind::MariaDb => {
                "CREATE TABLE customers (id BIGINT AUTO_INCREMENT PRIMARY KEY, mail VARCHAR(200) UNIQUE, `first \"name` TEXT, \
                 last_name VARCHAR(200) NOT NULL DEFAULT '', phone TEXT, tags JSON, vip TINYINT(1), class SMALLINT, \
                 since DATETIME(3), gone TINYINT(1) NOT NULL DEFAULT 0, \
                 updated_at DATETIME(6) NOT NULL DEFAULT now(6) ON UPDATE now(6))"
            }
        };
        self.run(text).await;
    }

    /// How `first "name` is written in a statement.
    pub(super) fn first_name(&self) -> &'static str {
        match self.kind {
            Kind::MariaDb => "`first \"name`",
            Kind::Sqlite | Kind::Postgres => "\"first \"\"name\"",
        }
    }
}

/// The config of the table, under `config:` of a system.
pub(super) const TABLE: &str = r#"
      timeout: 10s
      streams:
        customer:
          table: customers
          key: id
          cursor: updated_at
          deleted: gone
          page: 7
          match: [email]
          columns:
            email: {column: mail, type: email}
            given_name: 'first "name'
            family_name: last_name
            phone: {column: phone, type: phone}
            tags: {column: tags, type: set}
            vip: {column: vip, type: bool}
            tier: {column: class, enum: {gold: 1, key: 2}}
            since: {column: since, type: time}
"#;
