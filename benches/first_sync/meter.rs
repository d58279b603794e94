//! What a process used: time, processor time and memory, read from its own `/proc` entries.

use std::fs;

use anyhow::{Context as _, Result};
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
            cpu: cpu()?,
        })
    }

    pub(crate) fn stop(&self) -> Result<Cost> {
        Ok(Cost {
            wall: self.began.elapsed().as_secs_f64(),
            cpu: cpu()? - self.cpu,
            peak_mib: peak_mib()?,
        })
    }
}

fn cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in brackets and may hold anything.
    let fields = stat.rsplit_once(')').context("no name in /proc/self/stat")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

fn peak_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    let kib: f64 = line.split_whitespace().next().context("empty VmHWM")?.parse()?;
    Ok(kib / 1024.0)
}
