//! The process that a person starts: brings up the servers, lets the two jobs take turns, and collects the figures.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::joint::Joint;
use super::meter::{Cost, Meter};
use super::report;
use super::serve::Counts;
use super::store::Agreement;
use super::{Addresses, parsed};

/// No further round is begun when it would end later than this.
const TIME: Duration = Duration::from_secs(220);

/// One job in one round: what it cost, what the tools saw, and how they agree afterwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn<T> {
    pub cost: T,
    pub counts: [Counts; 3],
    pub agreement: Agreement,
}

/// Everything that was measured.
pub(crate) struct Figures {
    pub per_tool: usize,
    pub bare: Vec<Turn<Cost>>,
    pub nivel: Vec<Turn<Joint>>,
    /// Nivel with a quarter of the contacts.
    pub quarter: Option<Joint>,
    pub problem: Option<String>,
}

/// The servers' process.
struct Servers {
    /// It ends when its standard input does.
    process: Child,
    addresses: Addresses,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark is told its size by the environment"
)]
fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Measures and prints.
pub(crate) async fn run() -> Result<()> {
    let (per_tool, rounds) = (number("NIVEL_BENCH_N", 100_000), number("NIVEL_BENCH_RUNS", 3));
    let mut figures = Figures {
        per_tool,
        bare: Vec::new(),
        nivel: Vec::new(),
        quarter: None,
        problem: None,
    };
    if let Err(error) = measure(&mut figures, rounds).await {
        figures.problem = Some(format!("{error:#}"));
    }
    println!("{}", report::report(&figures));
    Ok(())
}

async fn measure(figures: &mut Figures, rounds: usize) -> Result<()> {
    let whole = Meter::start()?;
    let servers = Servers::start(figures.per_tool)?;
    for round in 0..rounds {
        // Who goes first changes, so that neither always finds the machine warm.
        if round % 2 == 0 {
            figures.bare.push(servers.bare().await?);
            figures.nivel.push(servers.nivel("--nivel").await?);
        } else {
            figures.nivel.push(servers.nivel("--nivel").await?);
            figures.bare.push(servers.bare().await?);
        }
        let spent = whole.stop()?.wall;
        eprintln!("round {} of {rounds}: {spent:.0} s", round + 1);
        let one = spent / (round + 1) as f64;
        // An odd number of rounds has a median, and a quarter of one is still to come.
        let next = if round % 2 == 0 { 2.3 } else { 1.3 };
        if round % 2 == 0 && spent + next * one > TIME.as_secs_f64() {
            break;
        }
    }
    drop(servers);
    let servers = Servers::start(figures.per_tool / 4)?;
    figures.quarter = Some(servers.nivel("--nivel-checked").await?.cost);
    Ok(())
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // A process that cannot be waited for is none any more.
        drop(self.process.wait());
    }
}

impl Servers {
    fn start(per_tool: usize) -> Result<Self> {
        let mut child = command("--serve", &per_tool)?.stdin(Stdio::piped()).spawn()?;
        let line = first_line(&mut child)?;
        Ok(Self {
            process: child,
            addresses: parsed(&line)?,
        })
    }

    async fn control<T: DeserializeOwned>(&self, what: &str) -> Result<T> {
        let response = reqwest::get(format!("{}/{what}", self.addresses.control)).await?;
        Ok(response.error_for_status()?.json().await?)
    }

    async fn bare(&self) -> Result<Turn<Cost>> {
        self.control::<serde_json::Value>("reset").await?;
        let cost = child("--bare", &self.addresses)?;
        let counts = self.control("counts").await?;
        Ok(Turn {
            cost,
            counts,
            agreement: self.control("settle").await?,
        })
    }

    async fn nivel(&self, mode: &str) -> Result<Turn<Joint>> {
        self.control::<serde_json::Value>("reset").await?;
        let cost: Joint = child(mode, &self.addresses)?;
        let (counts, agreement) = (cost.counts.clone(), cost.agreement);
        Ok(Turn {
            cost,
            counts,
            agreement,
        })
    }
}

fn command(mode: &str, word: &impl Serialize) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(mode)
        .arg(serde_json::to_string(word)?)
        .stdout(Stdio::piped());
    Ok(command)
}

fn first_line(child: &mut Child) -> Result<String> {
    let stdout = child.stdout.take().context("no output")?;
    Ok(BufReader::new(stdout)
        .lines()
        .next()
        .context("the child said nothing")??)
}

/// Lets a child do its job and takes its figures.
fn child<T: DeserializeOwned>(mode: &str, addresses: &Addresses) -> Result<T> {
    let output = command(mode, addresses)?.spawn()?.wait_with_output()?;
    ensure!(output.status.success() && !output.stdout.is_empty(), "{mode} failed");
    parsed(String::from_utf8(output.stdout)?.trim())
}
