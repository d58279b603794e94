//! A Redis of our own, on a free port, in a folder of its own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;

/// A Redis of our own; killed when dropped.
pub(crate) struct Server {
    pub(super) dir: TempDir,
    pub(super) port: u16,
    options: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// `None`, with a word about it, when there is no Redis on this machine.
    pub(crate) async fn start(options: &[&str]) -> Option<Self> {
        let is_there = |program: &str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&paths).any(|path: PathBuf| path.join(program).is_file())
        };
        if !is_there("redis-server") || !is_there("redis-cli") {
            eprintln!(
                "SKIPPED: no redis-server and redis-cli on this machine, so the cache is not tested against a real one"
            );
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self {
            dir: tempfile::tempdir().unwrap(),
            port,
            options: options.iter().map(ToString::to_string).collect(),
            process: None,
        };
        server.up().await;
        Some(server)
    }

    pub(super) async fn up(&mut self) {
        let port = self.port.to_string();
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(self.dir.path())
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        until("redis answers", async || self.cli(&["PING"]).contains(['G', 'N'])).await;
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(super) fn signal(&self, name: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub(super) fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// True when what it keeps holds this text, in any case. Only without compression (`--rdbcompression no`).
    pub(crate) fn holds(&self, text: &str) -> bool {
        self.cli(&["SAVE"]);
        let bytes = std::fs::read(self.dir.path().join("dump.rdb")).unwrap();
        let (bytes, needle) = (bytes.to_ascii_lowercase(), text.to_lowercase().into_bytes());
        bytes.windows(needle.len()).any(|window| window == needle)
    }

    /// Every name once: a scan may show one twice while Redis resizes its table.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.cli(&["--scan"]).lines().map(str::to_owned).collect()
    }

    pub(crate) fn url(&self) -> SecretString {
        format!("redis://127.0.0.1:{}", self.port).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for something outside this process; there is nothing to be notified by.
pub(super) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..2_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain: {what}");
}
