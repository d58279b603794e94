//! The real binary as a person meets it: help, explanations, mistakes in the config, exit codes.

use std::path::Path;

use assert_cmd::Command;
use insta::{assert_snapshot, with_settings};

/// The binary in an empty folder, with nothing of this machine's environment.
fn nivel(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
    command.current_dir(dir).env_clear().env("COLUMNS", "100");
    command
}

/// What a person sees: the exit code, standard output, standard error.
fn seen(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let code = output
        .status
        .code()
        .map_or_else(|| "killed".to_owned(), |code| code.to_string());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    format!("exit {code}\n--- stdout\n{out}\n--- stderr\n{err}")
}

fn check(name: &str, files: &[(&str, &str)], arguments: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    let seen = seen(nivel(dir.path()).args(arguments));
    with_settings!({description => format!("nivel {}", arguments.join(" ")), omit_expression => true}, {
        assert_snapshot!(name, seen);
    });
}

#[test]
fn every_verb_has_help_with_an_example() {
    let verbs: &[&[&str]] = &[
        &[],
        &["init"],
        &["demo"],
        &["run"],
        &["check"],
        &["lint"],
        &["plan"],
        &["sync"],
        &["status"],
        &["customer"],
        &["customer", "show"],
        &["customer", "why"],
        &["customer", "merge"],
        &["customer", "split"],
        &["customer", "pin"],
        &["review"],
        &["review", "list"],
        &["review", "show"],
        &["review", "accept"],
        &["review", "reject"],
        &["dead"],
        &["dead", "list"],
        &["dead", "show"],
        &["dead", "retry"],
        &["dead", "drop"],
        &["connector"],
        &["connector", "list"],
        &["connector", "show"],
        &["connector", "test"],
        &["connector", "try"],
        &["connector", "new"],
        &["connector", "record"],
        &["connector", "practice"],
        &["identity"],
        &["identity", "eval"],
        &["identity", "train"],
        &["identity", "generate"],
        &["explain"],
    ];
    let dir = tempfile::tempdir().unwrap();
    for verb in verbs {
        let output = nivel(dir.path()).args(*verb).arg("--help").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{verb:?}");
        let has_subcommands = text.contains("\nCommands:");
        assert!(
            has_subcommands || text.contains("Example:\n  nivel "),
            "{verb:?} shows no example:\n{text}"
        );
        let name = format!("help {}", verb.join(" "));
        with_settings!({omit_expression => true}, { assert_snapshot!(name.trim().replace(' ', "_"), text); });
    }
}

#[test]
fn explanations() {
    check("explain", &[], &["explain", "con003"]);
    check("explain_unknown", &[], &["explain", "CFG020"]);
    check("explain_all", &[], &["explain"]);
}

#[test]
fn mistakes_in_the_config_are_told_at_once() {
    let config = "\
regoin: FI
systems:
  crm:
    connector: csv
    role: seller
    every: 5
    config: {folder: in, token: ${TOKEN}}
";
    check("config_not_yaml", &[("nivel.yaml", config)], &["check"]);
    let config = config.replace("${TOKEN}", "\"${TOKEN}\"");
    check("config_mistakes", &[("nivel.yaml", &config)], &["check"]);
    check(
        "config_mistakes_json",
        &[("nivel.yaml", &config)],
        &["sync", "--output", "json"],
    );
    check("config_missing", &[], &["sync"]);
    check(
        "config_dangling",
        &[("nivel.yaml", "systems:\n  crm: {connector: csvv, role: sales}\n")],
        &["check"],
    );
}

#[test]
fn a_secret_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let config = "cache: {url: \"http://:${SECRET}@localhost\"}\nregion: ${SECRET}-\nsystems: {crm: {config: {a: \"${SECRET}\"}}}\n";
    std::fs::write(dir.path().join("nivel.yaml"), config).unwrap();
    for verb in [&["check"][..], &["-vvv", "sync"], &["--output", "json", "status"]] {
        let seen = seen(nivel(dir.path()).env("SECRET", "canary").args(verb));
        assert!(seen.starts_with("exit 2"), "{seen}");
        assert!(
            seen.contains("`region` is what the variable holds, expected two letters"),
            "{seen}"
        );
        assert!(!seen.contains("canary"), "{seen}");
    }
}

#[test]
fn looking_before_the_first_sync_is_told() {
    let config = "systems: {}\n";
    check("no_ledger", &[("nivel.yaml", config)], &["status"]);
    check("no_ledger_dead", &[("nivel.yaml", config)], &["dead", "list"]);
}

#[test]
fn usage_mistakes_end_with_two() {
    check("usage_verb", &[], &["snyc"]);
    check("usage_dead", &[], &["dead", "retry"]);
}

#[test]
fn init_writes_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = seen(nivel(dir.path()).arg("init"));
    assert!(first.starts_with("exit 0\n--- stdout\nwrote nivel.yaml"), "{first}");
    let written = std::fs::read_to_string(dir.path().join("nivel.yaml")).unwrap();
    assert!(written.contains("\nidentity: {match: scored}\n"), "{written}");
    let second = seen(nivel(dir.path()).arg("init"));
    assert!(second.starts_with("exit 1"), "{second}");
    assert!(
        second.contains("this file is there already; nothing was written"),
        "{second}"
    );
    assert_eq!(std::fs::read_to_string(dir.path().join("nivel.yaml")).unwrap(), written);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(dir.path().join("nivel.yaml"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "it may come to hold secrets");
    }
    let wrong = seen(nivel(dir.path()).args(["init", "--config", "other.yaml", "--with", "no-such-tool"]));
    assert!(
        wrong.starts_with("exit 2") && wrong.contains("there is no connector `no-such-tool`"),
        "{wrong}"
    );
    assert!(!dir.path().join("other.yaml").exists());
}

#[test]
fn made_up_records_are_scored_and_their_order_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let make = [
        "identity", "generate", "--rows", "2000", "--seed", "1001", "--out", "people",
    ];
    nivel(dir.path()).args(make).assert().success();
    let eval = [
        "identity",
        "eval",
        "--records",
        "people.csv",
        "--truth",
        "people.truth.csv",
    ];
    let scored = nivel(dir.path())
        .args(eval)
        .args(["--json", "--out", "a.csv"])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&scored.stdout).unwrap();
    let figure = |name: &str| report["figures"][name].as_f64().unwrap();
    assert!(figure("f1") > 0.9 && figure("precision") > 0.95, "{report}");
    nivel(dir.path())
        .args(eval)
        .args(["--order", "7", "--out", "b.csv"])
        .assert()
        .success();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(read("a.csv").lines().count() == 2001 && read("a.csv") == read("b.csv"));
    let wrong = seen(nivel(dir.path()).args(eval).args(["--map", "nickname=given_name"]));
    assert!(
        wrong.starts_with("exit 1") && wrong.contains("fields are given_name"),
        "{wrong}"
    );
}
