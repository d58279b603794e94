//! Webhook intake, signed and durable, beside a bare handler that only verifies the signature: `cargo bench --bench webhook`.
//!
//! Each server is a process of its own on loopback; this one sends. First as fast as it goes over many connections, then at
//! half of that pace and at half of what is asked of it, with the time counted from when a request was due. Nivel's ledger
//! lies on the disk, flushed before each 2xx. `NIVEL_BENCH_SECONDS` seconds a measurement (5).

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a benchmark prints its figures, measures real time and is told its size by the environment"
)]

mod send;
mod serve;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nivel::ledger::{Inbox as _, Sqlite};

use send::{Load, flood, paced};

/// So many events a second must an intake on two cores take.
const ASKED: f64 = 5000.0;

/// A server's process; it ends when its standard input does.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(mode: &str, folder: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(mode)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().context("the server did not start")?;
        let mut line = String::new();
        let out = process.stdout.take().context("no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().to_owned();
        ensure!(!address.is_empty(), "the server did not say where it listens");
        Ok(Self { process, address })
    }

    fn end(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        self.process.wait()?;
        Ok(())
    }
}

/// What one server can do.
struct Figures {
    flood: Load,
    half: Load,
    half_asked: Load,
}

async fn measure(server: &Server, span: Duration) -> Result<Figures> {
    // The first second warms up connections, caches and the allocator.
    flood(&server.address, Duration::from_secs(1), 0).await?;
    let flood = flood(&server.address, span, 1).await?;
    let half = paced(&server.address, span, flood.per_second() / 2.0, 2).await?;
    let half_asked = paced(&server.address, span, ASKED / 2.0, 3).await?;
    Ok(Figures {
        flood,
        half,
        half_asked,
    })
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let result = match (words.next().as_deref(), words.next()) {
        (Some("--bare"), _) => serve::bare().await,
        (Some("--nivel"), Some(folder)) => serve::nivel(Path::new(&folder)).await,
        _ => run().await,
    };
    if let Err(error) = result {
        eprintln!("the benchmark could not be run: {error:#}");
    }
}

async fn run() -> Result<()> {
    let seconds = std::env::var("NIVEL_BENCH_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    let span = Duration::from_secs(seconds);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("webhook-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let server = Server::start("--bare", &folder)?;
    let bare = measure(&server, span).await?;
    server.end()?;
    let server = Server::start("--nivel", &folder)?;
    let nivel = measure(&server, span).await?;
    server.end()?;
    let kept = kept(&folder).await?;
    std::fs::remove_dir_all(&folder)?;
    let row = |name: &str, load: &Load| {
        println!(
            "{name:<38} {:>9.0}/s   p50 {:>7.2} ms   p99 {:>7.2} ms   refused {:>5}",
            load.per_second(),
            load.percentile(50),
            load.percentile(99),
            load.refused
        );
    };
    println!("webhooks, signed, over loopback, {} connections", send::CONNECTIONS);
    row("bare handler, as fast as it goes", &bare.flood);
    row("Nivel (on disk), as fast as it goes", &nivel.flood);
    row("bare handler, half of that pace", &bare.half);
    row("Nivel (on disk), half of that pace", &nivel.half);
    row("bare handler, half of what is asked", &bare.half_asked);
    row("Nivel (on disk), half of what is asked", &nivel.half_asked);
    println!(
        "ratio {:.2} (Nivel's pace against the bare handler's)",
        nivel.flood.per_second() / bare.flood.per_second()
    );
    println!("{kept} events in the ledger, each one that was answered 2xx");
    Ok(())
}

/// Events in the ledger; as many as were accepted, or the figures are worth nothing.
async fn kept(folder: &Path) -> Result<u64> {
    let ledger = Sqlite::open_to_read(&folder.join("nivel.db"))?;
    let state = ledger.inbox().await?.remove("bell").context("nothing was kept")?;
    let accepted = send::accepted();
    ensure!(
        state.waiting >= accepted,
        "{accepted} were accepted, but only {} are there",
        state.waiting
    );
    Ok(state.waiting)
}
