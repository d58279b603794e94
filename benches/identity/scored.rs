//! How well groups agree with the truth, and that the order of arrival does not show: `nivel identity eval` as a person
//! would call it, over made-up records and over the sets in `NIVEL_IDENTITY_DATA` when they are there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cpu_of_children;

/// Where sets with a known truth lie on a developer's machine; none is shipped.
const DATA: &str = "../shared/identity/data";
/// Seeds from 1000 on are not learned from.
const MADE: [&str; 3] = ["contacts:20000:1001", "contacts:200000:2042", "contacts:1000000:2042"];
/// The larger ones arrive in this many orders.
const ORDERS: [&str; 2] = ["5", "77"];

/// Prints a line for each set.
pub(crate) fn report() -> Result<()> {
    println!(
        "{:<32}{:>10}{:>8}{:>8}{:>9}{:>9}{:>8}{:>8}{:>8}{:>9}{:>6}",
        "records", "precision", "recall", "F1", "B-cubed", "largest", "CPU s", "p50 us", "p99 us", "slowest", "MiB"
    );
    for made in MADE {
        let before = cpu_of_children();
        let report = eval(&["--made", made])?;
        line(made, &report, cpu_of_children() - before);
    }
    for (name, records) in sets() {
        let truth = records.with_extension("truth.csv");
        let of = [
            "--records".as_ref(),
            records.as_os_str(),
            "--truth".as_ref(),
            truth.as_os_str(),
        ];
        let reviewed = [of.as_slice(), &["--reviewed".as_ref(), "300".as_ref()]].concat();
        for (name, of) in [
            (name.clone(), of.as_slice()),
            (format!("{name}, 300 reviewed"), &reviewed),
        ] {
            let before = cpu_of_children();
            let report = eval(of)?;
            line(&name, &report, cpu_of_children() - before);
        }
    }
    in_any_order(MADE[1])
}

/// Sends the same records in several orders, and compares the groups byte for byte.
fn in_any_order(made: &str) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("nivel-orders-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut groups: Vec<Vec<String>> = Vec::new();
    for order in [None].into_iter().chain(ORDERS.map(Some)) {
        let out = folder.join("groups.csv");
        let mut of = vec![
            "--made".into(),
            made.into(),
            "--out".into(),
            out.clone().into_os_string(),
        ];
        of.extend(order.into_iter().flat_map(|seed| ["--order".into(), seed.into()]));
        eval(&of)?;
        let mut lines: Vec<String> = std::fs::read_to_string(&out)?.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        groups.push(lines);
    }
    std::fs::remove_dir_all(&folder)?;
    let same = groups.iter().all(|one| *one == groups[0]);
    ensure!(same, "{made}: the groups depend on the order of arrival");
    println!("{made} in {} orders: the same groups, byte for byte", groups.len());
    Ok(())
}

/// The sets that are there, by name.
fn sets() -> Vec<(String, PathBuf)> {
    let folder = std::env::var("NIVEL_IDENTITY_DATA").unwrap_or_else(|_| DATA.to_owned());
    let Ok(files) = std::fs::read_dir(Path::new(&folder)) else {
        println!("no sets in {folder}: made-up records only");
        return Vec::new();
    };
    let path = |file: std::io::Result<std::fs::DirEntry>| Some(file.ok()?.path());
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".csv")?.to_owned();
        (!name.ends_with(".truth") && path.with_extension("truth.csv").exists()).then_some((name, path))
    };
    let mut sets: Vec<_> = files.filter_map(path).filter_map(named).collect();
    sets.sort();
    sets
}

fn eval(arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<Value> {
    let mut nivel = Command::new(env!("CARGO_BIN_EXE_nivel"));
    let output = nivel.args(["identity", "eval", "--json"]).args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`nivel identity eval` failed: {errors}");
    serde_json::from_slice(&output.stdout).context("`nivel identity eval` printed no report")
}

/// `cpu` is the processor time of the whole run: reading the records, matching them, counting what is right.
fn line(name: &str, report: &Value, cpu: f64) {
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let percent = |path: &str| number(path) * 100.0;
    println!(
        "{name:<32}{:>10.2}{:>8.2}{:>8.2}{:>9.2}{:>9}{cpu:>8.1}{:>8.0}{:>8.0}{:>6.0} ms{:>6}",
        percent("/figures/precision"),
        percent("/figures/recall"),
        percent("/figures/f1"),
        percent("/figures/bcubed_f1"),
        number("/figures/largest_group"),
        number("/cost/p50_us"),
        number("/cost/p99_us"),
        number("/cost/max_us") / 1000.0,
        number("/cost/peak_mib"),
    );
}
