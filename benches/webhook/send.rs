//! The sender: many connections, each with one request under way.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

pub(crate) const SECRET: &str = "a-secret-of-the-benchmark";
pub(crate) const CONNECTIONS: u64 = 128;

/// Accepted by the server that was asked last.
static ACCEPTED: AtomicU64 = AtomicU64::new(0);

pub(crate) fn accepted() -> u64 {
    ACCEPTED.load(Ordering::SeqCst)
}

/// How a measurement went.
#[derive(Default)]
pub(crate) struct Load {
    /// Milliseconds of each accepted request, sorted.
    times: Vec<f64>,
    /// Requests that were answered otherwise.
    pub(crate) refused: u64,
    seconds: f64,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.seconds
    }

    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let at = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(at).copied().unwrap_or_default()
    }
}

struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Line {
    async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            answer: Vec::new(),
        })
    }

    /// Sends one event; the status of the answer.
    async fn ask(&mut self, number: u64) -> Result<u16> {
        self.stream.write_all(&request(number)?).await?;
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await?;
            anyhow::ensure!(read > 0, "the connection was closed");
            let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(self.answer.get(..end).unwrap_or_default())?.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
            if self.answer.len() >= end + 4 + length {
                let status = head.split(' ').nth(1).context("no status")?;
                return Ok(status.parse()?);
            }
        }
    }
}

fn request(number: u64) -> Result<Vec<u8>> {
    let body = format!(
        "{{\"n\":\"evt-{number:012}\",\"id\":\"{}\",\"type\":\"person.updated\",\"occurred_at\":\"2026-11-22T08:00:00.000Z\",\
         \"data\":{{\"email\":\"person.{number}@example.com\",\"changed\":[\"phone\",\"company\"]}}}}",
        number % 5000
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    let tag = mac.chain_update(format!("{now}.{body}")).finalize().into_bytes();
    let mut digits = String::new();
    for byte in tag {
        write!(digits, "{byte:02x}")?;
    }
    let head = format!(
        "POST /webhooks/bell HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nuser-agent: bench\r\n\
         x-signature: t={now},v1={digits}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Ok((head + &body).into_bytes())
}

/// As fast as it goes; `round` keeps the events of several measurements apart.
pub(crate) async fn flood(address: &str, span: Duration, round: u64) -> Result<Load> {
    run(address, span, None, round).await
}

/// At an even pace over all connections, whether or not the answers keep up.
pub(crate) async fn paced(address: &str, span: Duration, per_second: f64, round: u64) -> Result<Load> {
    run(address, span, Some(per_second), round).await
}

async fn run(address: &str, span: Duration, pace: Option<f64>, round: u64) -> Result<Load> {
    let began = Instant::now();
    let tasks = (0..CONNECTIONS).map(|place| {
        let address = address.to_owned();
        tokio::spawn(async move { one(&address, began, span, pace, round * CONNECTIONS + place).await })
    });
    let mut all = Load::default();
    for load in try_join_all(tasks).await? {
        let load = load?;
        all.times.extend(load.times);
        all.refused += load.refused;
    }
    all.seconds = began.elapsed().as_secs_f64();
    all.times.sort_by(f64::total_cmp);
    if round == 0 {
        ACCEPTED.store(0, Ordering::SeqCst);
    }
    ACCEPTED.fetch_add(all.times.len() as u64, Ordering::SeqCst);
    Ok(all)
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
async fn one(address: &str, began: Instant, span: Duration, pace: Option<f64>, line: u64) -> Result<Load> {
    let mut connection = Line::open(address).await?;
    let mut load = Load::default();
    let step = pace.map(|pace| Duration::from_secs_f64(CONNECTIONS as f64 / pace));
    let offset = step.map(|step| step.mul_f64((line % CONNECTIONS) as f64 / CONNECTIONS as f64));
    for turn in 0_u32.. {
        let due = match (step, offset) {
            (Some(step), Some(offset)) => began + offset + step * turn,
            _ => Instant::now(),
        };
        if due.duration_since(began) >= span {
            break;
        }
        tokio::time::sleep_until(due).await;
        match connection.ask(line * 1_000_000 + u64::from(turn)).await? {
            200 => load.times.push(due.elapsed().as_secs_f64() * 1000.0),
            _ => load.refused += 1,
        }
    }
    Ok(load)
}
