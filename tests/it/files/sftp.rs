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
    /// It has a user of its own, who signs in with a password.
    has_user: bool,
}

/// A user that only the server of a test knows.
const USER: &str = "nivel-test";
const PASSWORD: &str = "let me in: 1";

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
            has_user: false,
        };
        server.up().await;
        server
    }

    /// A server that sees one user more than the machine has, with a password. Only root can make it see her.
    async fn with_user() -> Option<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        if run("id", &["-u"]) != "0" {
            println!("SKIPPED: not root, so signing in with a password is not tested for real");
            return None;
        }
        let mut server = Self::new().await;
        server.down();
        let (passwd, shadow) = (
            std::fs::read_to_string("/etc/passwd"),
            std::fs::read_to_string("/etc/shadow"),
        );
        let hash = run("openssl", &["passwd", "-6", PASSWORD]);
        let home = server.dir.path().display().to_string();
        let passwd = format!("{}{USER}:x:65533:65533::{home}:/bin/sh\n", passwd.unwrap());
        std::fs::write(server.at("passwd"), passwd).unwrap();
        std::fs::write(
            server.at("shadow"),
            format!("{}{USER}:{hash}:20000::::::\n", shadow.unwrap()),
        )
        .unwrap();
        let config = std::fs::read_to_string(server.at("config")).unwrap();
        let config = config.replace("\nPasswordAuthentication no", "\nPasswordAuthentication yes");
        std::fs::write(server.at("config"), config).unwrap();
        for (name, mode) in [("", 0o755), ("drop", 0o777), ("out", 0o777)] {
            std::fs::set_permissions(server.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        server.has_user = true;
        server.up().await;
        Some(server)
    }

    fn command(&self) -> Command {
        if !self.has_user {
            let mut command = Command::new(SSHD);
            command.args(["-D", "-e", "-f", &self.at("config")]);
            return command;
        }
        let mut command = Command::new("unshare");
        let script =
            "mount --bind \"$1\" /etc/passwd && mount --bind \"$2\" /etc/shadow && exec \"$3\" -D -e -f \"$4\"";
        let files = [self.at("passwd"), self.at("shadow"), SSHD.to_owned(), self.at("config")];
        command.args(["-m", "sh", "-c", script, "sh"]).args(files);
        command
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    async fn up(&mut self) {
        let process = self
            .command()
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

#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_the_door_and_a_wrong_one_does_not() {
    let Some(server) = Sshd::with_user().await else { return };
    let key = format!("key: {{file: {}}}, passphrase: open sesame", server.at("mine"));
    let user = format!("user: {}", run("id", &["-un"]));
    let config = server
        .config()
        .replace(&key, &format!("password: \"{PASSWORD}\""))
        .replace(&user, &format!("user: {USER}"));
    assert!(config.contains(USER) && config.contains(PASSWORD), "{config}");
    let shop = Shop::new(&config);
    std::fs::write(server.dir.path().join("drop/a.csv"), PEOPLE).unwrap();
    shop.sync().await;
    let summary = shop.sync().await;
    assert_eq!(summary["systems"]["partner"]["read"], 3, "{summary}");
    assert_eq!(names(&server.dir.path().join("drop/done")).len(), 1);
    assert_eq!(exported(&server.dir.path().join("out")).len(), 1);
    let shop = Shop::new(&config.replace(PASSWORD, "let me in: 2"));
    let output = shop.nivel(&["check"], "").await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("CON005") && !told.contains("let me in"), "{told}");
}
