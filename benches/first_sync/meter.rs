//! What a process used: time, processor time and memory, read from its own `/proc` entries.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

/// Ticks of `utime` and `stime` in one second; fixed in the kernel's interface.
const TICKS: f64 = 100.0;

/// What a piece of work cost.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds of processor time, user and system, all threads.
    pub cpu: f64,
    /// The most memory the process ever had resident, until the end of this work.
    pub peak_mib: f64,
}

/// Measures this process from here on.
pub(crate) struct Meter {
    began: std::time::Instant,
    cpu: f64,
}

impl Meter {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub(crate) fn start() -> Result<Self> {
        Ok(Self {
            began: std::time::Instant::now(),
            cpu: of_self()?,
        })
    }

    pub(crate) fn stop(&self) -> Result<Cost> {
        Ok(Cost {
            wall: self.began.elapsed().as_secs_f64(),
            cpu: of_self()? - self.cpu,
            peak_mib: peak_mib(Path::new("/proc/self/status"))?,
        })
    }
}

/// Runs a program to its end: what it cost, and what it printed. `None` in place of that when it failed.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn run(command: &mut Command) -> Result<(Cost, Option<String>)> {
    let (began, cpu) = (std::time::Instant::now(), of_children()?);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().context("no output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0.0_f64;
    // The kernel forgets the figure with the process: it is looked at until then.
    while child.try_wait()?.is_none() {
        peak = peak.max(peak_mib(&status).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(20));
    }
    let is_good = child.wait()?.success();
    let cost = Cost {
        wall: began.elapsed().as_secs_f64(),
        cpu: of_children()? - cpu,
        peak_mib: peak,
    };
    let text = reader
        .join()
        .map_err(|panic| anyhow!("the reader of its output panicked: {panic:?}"))??;
    Ok((cost, is_good.then_some(text)))
}

/// Processor time of this process, all threads.
fn of_self() -> Result<f64> {
    cpu(11)
}

/// Processor time of the children that ended.
fn of_children() -> Result<f64> {
    cpu(13)
}

/// Two neighbouring fields of `/proc/self/stat` after the name: user and system time.
fn cpu(first: usize) -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in brackets and may hold anything.
    let fields = stat.rsplit_once(')').context("no name in /proc/self/stat")?.1;
    let ticks = fields.split_whitespace().skip(first).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

fn peak_mib(status: &Path) -> Result<f64> {
    let status = fs::read_to_string(status)?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    let kib: f64 = line.split_whitespace().next().context("empty VmHWM")?.parse()?;
    Ok(kib / 1024.0)
}
