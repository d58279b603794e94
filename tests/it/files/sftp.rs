//! Against a real OpenSSH server on loopback, started for the test as whoever runs it.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::{PEOPLE, Shop, exported, names};
use crate::trial::scratch;

const SSHD: &str = "/usr/sbin/sshd";

struct Sshd {
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/setup.sh test installs it"));
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Sshd {
    async fn new() -> Self {
        let dir = scratch();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| dir.path().join(name).display().to_string();
        for (key, phrase) in [("host", ""), ("mine", "open sesame"), ("other", "")] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", phrase, "-f", &at(key)]);
        }
        std::fs::copy(at("mine.pub"), at("allowed")).unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             Subsystem sftp internal-sftp\n",
            at("host"),
            at("allowed")
        );
        std::fs::write(at("config"), config).unwrap();
        for folder in ["drop", "out"] {
            std::fs::create_dir(at(folder)).unwrap();
        }
        if run("id", &["-u"]) == "0" {
            // As root, sshd wants an empty folder for the part of it that has no rights.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let mut server = Self {
            dir,
            port,
            process: None,
        };
        server.up().await;
        server
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    async fn up(&mut self) {
        let process = Command::new(SSHD)
            .args(["-D", "-e", "-f", &self.at("config")])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.dir.path().join("log")).unwrap())
            .spawn();
        self.process = Some(process.unwrap_or_else(|error| panic!("{SSHD}: {error}; tests/setup.sh test installs it")));
        for _ in 0..1_000 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!(
            "sshd does not answer: {}",
            std::fs::read_to_string(self.at("log")).unwrap()
        );
    }

    fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn fingerprint(&self) -> String {
        let told = run("ssh-keygen", &["-lf", &self.at("host.pub")]);
        told.split_whitespace().nth(1).unwrap().to_owned()
    }

    fn config(&self) -> String {
        let sftp = |folder: &str| {
            format!(
                "{{host: 127.0.0.1, port: {}, user: {}, host_key: \"{}\", folder: {}, key: {{file: {}}}, passphrase: open sesame}}",
                self.port,
                run("id", &["-un"]),
                self.fingerprint(),
                self.at(folder),
                self.at("mine")
            )
        };
        format!(
            "data_dir: data\nsystems:\n  partner:\n    connector: csv\n    role: partner\n    config:\n      archive: done\n      \
             settle: 0s\n      id: Nr\n      columns: {{email: Mail, given_name: Name}}\n      sftp: {}\n      export: {{sftp: {}, \
             columns: {{email: E-mail, given_name: First}}}}\n",
            sftp("drop"),
            sftp("out")
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.down();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_fetched_put_away_and_brought() {
    let server = Sshd::new().await;
    let shop = Shop::new(&server.config());
    let drop = server.dir.path().join("drop");
    std::fs::write(
        drop.join("a.csv"),
        format!("{PEOPLE}3;eve@e.fi;Eve;1\n;nobody@n.fi;N;1\n"),
    )
    .unwrap();
    std::os::unix::fs::symlink("/etc/passwd", drop.join("link.csv")).unwrap();
    let checked = shop.nivel(&["check"], "").await;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    shop.sync().await;
    let summary = shop.sync().await;
    assert_eq!(summary["systems"]["partner"]["read"], 4, "{summary}");
    assert_eq!(summary["systems"]["partner"]["rejected"], 1, "{summary}");
    assert_eq!(
        names(&drop),
        ["a.csv.rejects.csv", "done", "link.csv"].map(str::to_owned).into()
    );
    let rejects = std::fs::read_to_string(drop.join("a.csv.rejects.csv")).unwrap();
    assert!(
        rejects.contains("row 4 has the same id") && rejects.contains("its id is empty"),
        "{rejects}"
    );
    assert_eq!(names(&drop.join("done")).len(), 1);
    let files = exported(&server.dir.path().join("out"));
    let rows = files.values().next().unwrap();
    assert_eq!(
        rows.keys().collect::<Vec<_>>(),
        ["", "ann@a.fi", "bob@b.fi", "eve@e.fi"],
        "{files:?}"
    );
    let last = shop.sync().await;
    assert_eq!(last["systems"]["partner"]["read"], 0, "{last}");
    assert_eq!(names(&server.dir.path().join("out")).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_the_one_and_a_key_that_is_not_ours() {
    let mut server = Sshd::new().await;
    let good = server.config();
    let check = async |config: &str| {
        let shop = Shop::new(config);
        let output = shop.nivel(&["check"], "").await;
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let other = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let told = check(&good.replace(&server.fingerprint(), other)).await;
    assert!(
        told.contains("FIL004") && told.contains(&server.fingerprint()),
        "{told}"
    );
    let log = std::fs::read_to_string(server.at("log")).unwrap();
    assert!(!log.contains("userauth"), "nothing was said to it: {log}");
    let told = check(
        &good
            .replace("/mine}", "/other}")
            .replace(", passphrase: open sesame", ""),
    )
    .await;
    assert!(told.contains("CON005"), "{told}");
    let shop = Shop::new(&good.replace("open sesame", "wrong"));
    let output = shop.nivel(&["check"], "").await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("`key` is not a private key that can be opened"), "{told}");
    server.down();
    let told = check(&good).await;
    assert!(told.contains("CON001"), "{told}");
    server.up().await;
    let told = check(&good).await;
    assert!(told.contains("the config is good"), "{told}");
}
