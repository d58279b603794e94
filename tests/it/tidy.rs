//! The rules of the house that a compiler cannot know. Each test names the rule and every place that breaks it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nivel::error::{Code, page};
use regex::Regex;

/// Modules by layer, lowest first (DESIGN.md, section 5). A module imports lower layers only.
const LAYERS: &[&[&str]] = &[
    &["model", "error", "fault"],
    &["manifest", "identity", "merge", "handoff"],
    &["config", "ledger", "cache", "connector"],
    &["sync", "webhook", "sandbox"],
    &["http"],
    &["daemon"],
    &["cli"],
];

/// Imports within a layer. The first names the second, never the other way round. This list should not grow.
const SAME_LAYER: &[(&str, &str)] = &[
    ("model", "error"),
    // Whether a mailbox names one person is asked before it is written anywhere.
    ("merge", "identity"),
];

/// Vendors and their products. No Rust file outside the sandbox speaks of one.
const VENDORS: &str = "hubspot|zendesk|pipedrive|mailchimp|salesforce|freshdesk|intercom|klaviyo|brevo|zoho|ghost|tryton|activecampaign|dynamics|helpscout|servicenow|jira";

/// Parts that must stay pure, and what they must not touch.
const PURE: &[&str] = &[
    "src/manifest",
    "src/identity",
    "src/merge",
    "src/handoff",
    "src/sync/fold",
    "src/sync/settle",
    "src/sync/matching/regroup",
    "src/sync/matching/state",
    "src/sync/schedule",
    "src/sync/reconcile/reason",
    "src/sync/erase/state",
    "src/sync/erase/certificate",
    "src/sync/alert/decide",
    "src/connector/breaker",
    "src/connector/limits/lanes",
    "src/sync/hints",
    "src/webhook/verify",
];
const IMPURE: &str =
    r"\b(tokio|reqwest|rusqlite)::|std::(fs|env|net|process|thread)\b|\b(SystemTime|Instant)\b|\bdyn Clock\b";

/// The longest file.
const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder of the repository, by their path from its root, in order.
fn files(folder: &str, endings: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(&root().join(folder), endings, &mut found);
    found
}

fn collect(path: &Path, endings: &[&str], found: &mut BTreeMap<String, String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), endings, found);
        }
    } else if path
        .extension()
        .is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
    {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        found.insert(name, std::fs::read_to_string(path).unwrap());
    }
}

/// Lines of code with their numbers: without comments, and without the tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let lines = text.get(..tests).unwrap().lines().zip(1..);
    lines
        .map(|(line, number)| (number, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Files that hold nothing but tests.
fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("/tests.rs")
}

#[track_caller]
fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The module a source file belongs to; `None` for the roots of library and program.
fn module(file: &str) -> Option<&str> {
    let rest = file.strip_prefix("src/")?;
    let module = rest.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&module)).then_some(module)
}

#[test]
fn modules_import_lower_layers_only() {
    let import = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let mut broken = Vec::new();
    for (file, text) in files("src", &["rs"]) {
        let Some(from) = module(&file).filter(|_| !is_test(&file)) else {
            continue;
        };
        let Some(high) = layer(from) else {
            broken.push(format!("{file}: `{from}` stands in no layer"));
            continue;
        };
        for (number, line) in code(&text) {
            for found in import.captures_iter(line) {
                let to = found.get(1).unwrap().as_str();
                let is_lower = layer(to).is_some_and(|low| low < high);
                if !(to == from || is_lower || SAME_LAYER.contains(&(from, to))) {
                    broken.push(format!("{file}:{number}: `{from}` imports `{to}`"));
                }
            }
        }
    }
    none("a module imports lower layers only", &broken);
}

#[test]
fn only_the_daemon_names_a_ledger_or_a_cache() {
    let concrete = Regex::new(r"\b(ledger::Sqlite|Sqlite::open|cache::redis|cache::Memory)\b").unwrap();
    let mut broken = Vec::new();
    for (file, text) in files("src", &["rs"]) {
        if ["daemon", "ledger", "cache"].contains(&module(&file).unwrap_or("")) {
            continue;
        }
        let lines = code(&text).filter(|(_, line)| concrete.is_match(line));
        broken.extend(lines.map(|(number, line)| format!("{file}:{number}: {}", line.trim())));
    }
    none("only the daemon names a concrete ledger or cache", &broken);
}

#[test]
fn no_vendor_is_named_outside_the_sandbox() {
    let vendor = Regex::new(&format!("(?i)(^|[^a-z])({VENDORS})([^a-z]|$)")).unwrap();
    assert!(vendor.is_match("HUBSPOT_TOKEN") && vendor.is_match("a Zendesk user") && !vendor.is_match("ghostly"));
    let mut broken = Vec::new();
    for (file, text) in files("src", &["rs"]) {
        if module(&file) == Some("sandbox") {
            continue;
        }
        // Comments count: what a comment explains by a vendor, the code does for a vendor.
        for (line, number) in text.lines().zip(1..) {
            if vendor.is_match(line) {
                broken.push(format!("{file}:{number}: {}", line.trim()));
            }
        }
    }
    none("no Rust file outside the sandbox names a vendor", &broken);
}

#[test]
fn pure_code_touches_nothing() {
    let impure = Regex::new(IMPURE).unwrap();
    assert!(
        impure.is_match("use tokio::time;") && impure.is_match("std::fs::read") && !impure.is_match("use std::fmt;")
    );
    let mut broken = Vec::new();
    for (file, text) in files("src", &["rs"]) {
        if PURE.iter().any(|pure| file.starts_with(pure)) && !is_test(&file) {
            let lines = code(&text).filter(|(_, line)| impure.is_match(line));
            broken.extend(lines.map(|(number, line)| format!("{file}:{number}: {}", line.trim())));
        }
    }
    none("pure code knows no I/O, no environment and no clock", &broken);
}

#[test]
fn secrets_are_opened_in_few_places() {
    let allowed = ["src/connector/", "src/cache/", "src/daemon"];
    let mut broken = Vec::new();
    for (file, text) in files("src", &["rs"]) {
        if !allowed.iter().any(|start| file.starts_with(start)) && !is_test(&file) {
            let lines = code(&text).filter(|(_, line)| line.contains("expose_secret"));
            broken.extend(lines.map(|(number, line)| format!("{file}:{number}: {}", line.trim())));
        }
    }
    none("a secret is opened only where it is used", &broken);
}

#[test]
fn every_code_has_a_page_that_helps() {
    let mut broken = Vec::new();
    let names: std::collections::BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), Code::ALL.len(), "two codes have the same name");
    for code in Code::ALL {
        let text = page(*code);
        let title = format!("# {code} — ");
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        if !text.starts_with(&title) || lines < 5 {
            broken.push(format!(
                "src/error/pages/{code}.md: a title `{title}…` and five lines at least"
            ));
        }
        for part in ["**What happened.**", "**Who acts.**"] {
            if !text.contains(part) {
                broken.push(format!("src/error/pages/{code}.md: no {part}"));
            }
        }
    }
    let pages = files("src/error/pages", &["md"]);
    let is_code = |file: &String| {
        let stem = file.rsplit('/').next().and_then(|name| name.strip_suffix(".md"));
        stem.is_some_and(|stem| Code::ALL.iter().any(|code| code.as_str() == stem))
    };
    broken.extend(
        pages
            .keys()
            .filter(|file| !is_code(file))
            .map(|file| format!("{file}: no such code")),
    );
    none("every error code has a page", &broken);
}

#[test]
fn every_code_is_made_somewhere() {
    let sources: String = files("src", &["rs"])
        .iter()
        .filter(|(file, _)| !file.starts_with("src/error/"))
        .flat_map(|(_, text)| code(text).map(|(_, line)| format!("{line}\n")).collect::<Vec<_>>())
        .collect();
    let mut broken = Vec::new();
    for code in Code::ALL {
        let is_made = Regex::new(&format!(r"\bCode::{code:?}\b")).unwrap().is_match(&sources);
        if !is_made {
            broken.push(format!("{code} ({code:?}) is made nowhere"));
        }
    }
    none("every error code is made somewhere", &broken);
}

#[test]
fn every_connector_has_tests() {
    let Ok(folders) = std::fs::read_dir(root().join("connectors")) else {
        return;
    };
    let mut broken = Vec::new();
    for folder in folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in ["manifest.yaml", "tests.yaml"] {
            if !folder.join(file).is_file() {
                broken.push(format!("{}: no {file}", folder.display()));
            }
        }
    }
    none("a connector is a manifest and its tests", &broken);
}

#[test]
fn every_option_is_shown() {
    let text = std::fs::read_to_string(root().join("config/full.yaml")).unwrap();
    let mut broken = Vec::new();
    for (place, options) in nivel::config::OPTIONS {
        for option in *options {
            let key = Regex::new(&format!(r"(?m)(^|[{{,])\s*(- \{{)?{option}:")).unwrap();
            if !key.is_match(&text) {
                broken.push(format!("{place}.{option}"));
            }
        }
    }
    none("config/full.yaml shows every option", &broken);
}

#[test]
fn files_are_short() {
    let mut broken = Vec::new();
    let mut sources = files("src", &["rs"]);
    sources.extend(files("tests", &["rs"]));
    for (file, text) in &sources {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            broken.push(format!("{file}: {lines} lines, allowed are {LINES_MAX}"));
        }
    }
    none("files stay short", &broken);
}

/// Every text file that people write.
fn texts() -> BTreeMap<String, String> {
    let endings = ["rs", "md", "yaml", "yml", "sql", "toml", "sh", "py"];
    let mut texts = BTreeMap::new();
    for place in ["src", "tests", "benches", "config", "connectors", "Cargo.toml"] {
        if root().join(place).exists() {
            texts.extend(files(place, &endings));
        }
    }
    for entry in std::fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            collect(&path, &["md", "yml", "yaml"], &mut texts);
        }
    }
    texts
}

#[test]
fn lines_end_where_they_end() {
    let mut broken = Vec::new();
    for (file, text) in texts() {
        let lines = text
            .lines()
            .zip(1..)
            .filter(|(line, _)| line.ends_with([' ', '\t', '\r']));
        broken.extend(lines.map(|(_, number)| format!("{file}:{number}")));
        if !text.is_empty() && !text.ends_with('\n') {
            broken.push(format!("{file}: no line end at its end"));
        }
    }
    none("no white space at the end of a line", &broken);
}

#[test]
fn nothing_is_put_off_in_a_comment() {
    // Spelled in two halves, so that this file does not break its own rule.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let marks = Regex::new(&format!(r"\b({})\b", marks.join("|"))).unwrap();
    let mut broken = Vec::new();
    for (file, text) in texts() {
        let lines = text.lines().zip(1..).filter(|(line, _)| marks.is_match(line));
        broken.extend(lines.map(|(line, number)| format!("{file}:{number}: {}", line.trim())));
    }
    none("what is left to do stands in an issue", &broken);
}

#[test]
fn the_changelog_has_a_place_for_what_comes() {
    let text = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(text.contains("## Unreleased") || text.contains("## [Unreleased]"));
}

#[test]
fn printing_happens_in_one_place() {
    let print = Regex::new(r"\be?print(ln)?!|std::io::(stdout|stderr)\(\)|std::process::exit").unwrap();
    let allowed = ["src/cli/output.rs", "src/cli/log.rs"];
    let mut broken = Vec::new();
    for (file, text) in files("src", &["rs"]) {
        if !allowed.contains(&file.as_str()) && !is_test(&file) {
            let lines = code(&text).filter(|(_, line)| print.is_match(line));
            broken.extend(lines.map(|(number, line)| format!("{file}:{number}: {}", line.trim())));
        }
    }
    none("only cli/output.rs prints", &broken);
}
