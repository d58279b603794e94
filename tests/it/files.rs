//! Partners without an API: files dropped into a folder or behind SFTP, and files written for them. With the real binary, and a
//! real SFTP server.

mod sftp;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use futures::stream::{self, StreamExt};
use serde_json::Value;
use tempfile::TempDir;

use crate::trial::scratch;

/// No run over so few rows has more effects.
const EFFECTS_MAX: u64 = 200;

/// A config, folders, and the binary.
struct Shop {
    dir: TempDir,
}

const CONFIG: &str = "
data_dir: data
systems:
  partner:
    connector: csv
    role: partner
    config:
      folder: drop
      archive: ../done
      settle: 0s
      id: Nr
      columns: {email: Mail, given_name: Name, salary: Pay}
  printer:
    connector: csv
    role: support
    config:
      export: {folder: out, columns: {email: E-mail, given_name: First, salary: Pay}}
share: {salary: [partner]}
";

impl Shop {
    fn new(config: &str) -> Self {
        let dir = scratch();
        for folder in ["drop", "out"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("nivel.yaml"), config).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn drop_file(&self, name: &str, text: &str) {
        std::fs::write(self.path("drop").join(name), text).unwrap();
    }

    async fn nivel(&self, words: &[&str], fault: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
        command.current_dir(self.dir.path()).args(words);
        command.env_remove("RUST_LOG").env("NIVEL_FAULT", fault);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    async fn sync(&self) -> Value {
        let output = self.nivel(&["--output", "json", "sync", "--approve"], "").await;
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The files of a folder by name, each as rows by e-mail.
fn exported(folder: &Path) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let rows = |name: &String| {
        let mut reader = csv::Reader::from_path(folder.join(name)).unwrap();
        let rows = reader.records().map(|row| {
            let row: Vec<String> = row.unwrap().iter().map(str::to_owned).collect();
            (row[3].clone(), row)
        });
        rows.collect()
    };
    names(folder).iter().map(|name| (name.clone(), rows(name))).collect()
}

const PEOPLE: &str = "Nr;Mail;Name;Pay\n1;ann@a.fi;Ann;9\n2;bob@b.fi;Bob;8\n3;cid@c.fi;Cid;7\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_gets_everybody_once_and_then_what_changed() {
    let shop = Shop::new(CONFIG);
    shop.drop_file("a.csv", PEOPLE);
    shop.sync().await;
    assert!(names(&shop.path("out")).is_empty(), "nobody is known yet");
    let summary = shop.sync().await;
    assert_eq!(summary["systems"]["printer"]["exported"], 3, "{summary}");
    let first = exported(&shop.path("out"));
    assert_eq!(first.len(), 1);
    let (first_name, rows) = first.into_iter().next().unwrap();
    assert!(
        first_name.starts_with("customers-") && first_name.ends_with("-000001.csv"),
        "{first_name}"
    );
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["ann@a.fi", "bob@b.fi", "cid@c.fi"]);
    let ann = &rows["ann@a.fi"];
    assert!(ann[0].starts_with("per_"), "{ann:?}");
    assert_eq!(
        ann[1..],
        ["active", "", "ann@a.fi", "Ann"],
        "`share` keeps her pay from this role"
    );
    shop.sync().await;
    assert_eq!(
        names(&shop.path("out")).len(),
        1,
        "nothing changed, so there is no file"
    );
    shop.drop_file("b.csv", "Nr;Mail;Name;Pay\n2;bob@b.fi;Robert;8\n4;dan@d.fi;Dan;1\n");
    shop.sync().await;
    shop.sync().await;
    let mut second = exported(&shop.path("out"));
    second.remove(&first_name);
    assert_eq!(second.len(), 1);
    let rows = second.into_values().next().unwrap();
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["bob@b.fi", "dan@d.fi"]);
    assert_eq!(rows["bob@b.fi"][4], "Robert");
    assert_eq!(names(&shop.path("done")).len(), 2, "what was read is put away");
    assert!(names(&shop.path("drop")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_exported_before_somebody_said_yes() {
    let shop = Shop::new(CONFIG);
    shop.drop_file("a.csv", PEOPLE);
    for _ in 0..3 {
        shop.nivel(&["sync"], "").await;
    }
    assert!(names(&shop.path("out")).is_empty());
    let plan = shop.nivel(&["plan"], "").await;
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.contains("printer: gets an export file"), "{plan}");
    shop.nivel(&["approve"], "").await;
    shop.nivel(&["sync"], "").await;
    assert_eq!(names(&shop.path("out")).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_missing_is_told_and_nothing_is_lost() {
    let shop = Shop::new(CONFIG);
    shop.drop_file("a.csv", PEOPLE);
    shop.sync().await;
    std::fs::remove_dir(shop.path("out")).unwrap();
    let summary = shop.sync().await;
    assert_eq!(
        summary["systems"]["printer"]["problems"][0]["code"], "FIL005",
        "{summary}"
    );
    std::fs::create_dir(shop.path("out")).unwrap();
    shop.sync().await;
    let files = exported(&shop.path("out"));
    assert_eq!(files.values().map(BTreeMap::len).collect::<Vec<_>>(), [3], "{files:?}");
}

/// Dies at effect `number` of the run that reads, puts away and exports; then runs again.
async fn interrupted(mode: &str, number: u64) -> bool {
    let shop = Shop::new(CONFIG);
    shop.drop_file("a.csv", PEOPLE);
    shop.sync().await;
    let fault = format!("{mode}:{number}");
    let was_there = !shop.nivel(&["sync", "--approve"], &fault).await.status.success();
    shop.sync().await;
    shop.sync().await;
    assert!(names(&shop.path("drop")).is_empty(), "{fault}");
    assert_eq!(names(&shop.path("done")).len(), 1, "{fault}: put away, and once");
    let files = exported(&shop.path("out"));
    let rows: Vec<usize> = files.values().map(BTreeMap::len).collect();
    assert_eq!(rows, [3], "{fault}: everybody, in one file: {files:?}");
    let status = shop.nivel(&["--output", "json", "sync"], "").await;
    let summary: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(summary["customers"], 3, "{fault}: {summary}");
    was_there
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_files_are_read_put_away_and_written_once() {
    for mode in ["kill-before", "kill-after"] {
        let numbers =
            stream::iter(1..EFFECTS_MAX).map(|number| async move { (number, interrupted(mode, number).await) });
        let mut numbers = std::pin::pin!(numbers.buffered(2));
        let mut swept = 0;
        while let Some((number, was_there)) = numbers.next().await {
            if !was_there {
                break;
            }
            swept = number;
        }
        assert!(swept > 5, "only {swept} effects: does everything go through the door?");
    }
}
