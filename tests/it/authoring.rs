//! "A connector in an hour" (`connectors/GUIDE.md`), followed to the letter: its commands are run, its files are written, and
//! where it shows an answer, the answer holds that.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::trial::scratch;

const GUIDE: &str = include_str!("../../connectors/GUIDE.md");
/// The port that the guide names; another one is taken here, because somebody may be at it.
const PORT: &str = "8099";

/// One fenced block: its info string and its lines.
struct Block<'a> {
    info: &'a str,
    text: String,
}

fn blocks(guide: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in guide.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                open = Some(Block {
                    info,
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// What was started in the background; ended with the test.
struct Background(Vec<Child>);

impl Drop for Background {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

struct Reader<'a> {
    dir: &'a Path,
    port: String,
    background: Background,
    commands: usize,
}

impl Reader<'_> {
    fn shell(&self, command: &str) -> Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_nivel"))
            .parent()
            .unwrap()
            .display()
            .to_string();
        let path = std::env::vars()
            .find(|(name, _)| name == "PATH")
            .map_or_else(String::new, |(_, path)| path);
        let mut shell = Command::new("bash");
        shell.args(["-c", command]).current_dir(self.dir);
        shell
            .env_clear()
            .env("PATH", format!("{bin}:{path}"))
            .env("COLUMNS", "160");
        shell
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace(PORT, &self.port)).unwrap();
    }

    /// Runs a block of commands; lines under a command must stand in what it prints.
    async fn console(&mut self, text: &str) {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {line}"));
            let command = command.replace(PORT, &self.port);
            let mut expected = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                expected.push(line);
            }
            self.commands += 1;
            if let Some(command) = command.strip_suffix(" &") {
                self.start(command).await;
                continue;
            }
            let output = self.shell(&command).output().unwrap();
            let told = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            // A plan of a new setup says that it waits for a yes.
            let waits = command == "nivel plan" && output.status.code() == Some(3);
            assert!(output.status.success() || waits, "{command}\n{told}");
            for line in expected {
                assert!(told.contains(line), "{command}\nshould say {line}\n{told}");
            }
        }
    }

    async fn start(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words.first(), Some(&"nivel"));
        let child = Command::new(env!("CARGO_BIN_EXE_nivel"))
            .args(words.iter().skip(1))
            .current_dir(self.dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.background.0.push(child);
        let address = format!("127.0.0.1:{}", self.port);
        for _ in 0..2_000 {
            if std::net::TcpStream::connect(&address).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{command} does not answer");
    }
}

#[tokio::test]
async fn the_guide_is_true() {
    let dir = scratch();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut reader = Reader {
        dir: dir.path(),
        port: port.to_string(),
        background: Background(Vec::new()),
        commands: 0,
    };
    for block in blocks(GUIDE) {
        match block.info.split_once(' ') {
            Some((_, file)) => reader.file(file, &block.text),
            None if block.info == "console" => reader.console(&block.text).await,
            None => panic!("a block that is neither a file nor commands: {}", block.info),
        }
    }
    assert!(reader.commands > 20, "{}", reader.commands);
    // What was recorded holds nothing of anybody, and is as good a test as the one that the guide writes.
    let recorded = std::fs::read_to_string(dir.path().join("connectors/desk/tests.recorded.yaml")).unwrap();
    let small = recorded.to_lowercase();
    for original in [
        "aino v",
        "virtanen",
        "bea@example",
        "öberg",
        "globex",
        "123 4561",
        "practice-key",
    ] {
        assert!(!small.contains(original), "{original} is left:\n{recorded}");
    }
    for wanted in [
        "the first pages",
        "one is read by its id",
        "one is looked up by email",
        ".example",
        "left",
    ] {
        assert!(recorded.contains(wanted), "{wanted}:\n{recorded}");
    }
    reader.file("connectors/desk/tests.yaml", &recorded);
    reader.console("$ nivel connector test desk\n").await;
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn canned_exchanges_are_played_in_under_a_second() {
    let dir = scratch();
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_nivel"))
        .args(["connector", "test", "ghost"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    // Ten times what it takes: the machine has other things to do.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_draft_from_a_description_is_a_manifest_in_order() {
    let dir = scratch();
    let spec = r#"{"openapi": "3.0.0", "info": {"title": "Acme"}, "servers": [{"url": "https://acme.test/v1"}], "paths": {
        "/contacts": {"get": {"parameters": [{"name": "page", "in": "query"}], "responses": {"200": {"content": {"application/json": {"schema":
        {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}, "email": {"type": "string"}}}}}}}}}}}}"#;
    std::fs::write(dir.path().join("acme.json"), spec).unwrap();
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nivel"))
            .args(words)
            .current_dir(dir.path())
            .output()
            .unwrap();
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.code(), told)
    };
    let (code, told) = run(&["connector", "new", "acme", "--openapi", "acme.json"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = run(&["lint", "connectors/acme"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = run(&["connector", "new", "acme", "--openapi", "acme.json"]);
    assert!(
        code == Some(1) && told.contains("NEW001") && told.contains("already"),
        "{told}"
    );
    let (code, told) = run(&["connector", "new", "other"]);
    assert!(
        code == Some(1) && told.contains("nobody is there to be asked"),
        "{told}"
    );
}
