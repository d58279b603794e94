use std::path::Path;
use std::time::Duration;

use super::*;
use crate::model::TestClock;

const CONFIG: &str = "
id: Nr
columns: {email: Mail, given_name: Name, age: {column: Age, type: int}}
page_rows: 2
settle_seconds: 2
";

struct Scene {
    folder: tempfile::TempDir,
    clock: Arc<TestClock>,
    cursor: Option<Cursor>,
}

impl Scene {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(TestClock::at(UnixMillis(0))),
            cursor: None,
        }
    }

    fn drop_file(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn connection(&self) -> FileDrop {
        let mut config: FileConfig = serde_saphyr::from_str(&format!("folder: x\n{CONFIG}")).unwrap();
        config.folder = self.folder.path().to_owned();
        FileDrop::new("partner", config, self.clock.clone()).unwrap()
    }

    /// Pulls until nothing more is to be had; remote ids by page.
    async fn pull_all(&mut self, connection: &FileDrop) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        loop {
            let page = connection.pull("row", self.cursor.as_ref()).await.unwrap();
            self.cursor = Some(page.next);
            if page.is_caught_up {
                return pages;
            }
            pages.push(page.records.iter().map(|record| record.remote.to_string()).collect());
        }
    }

    /// Notices what is there, waits until it is stable, and reads it.
    async fn settle(&mut self, connection: &FileDrop) -> Vec<Vec<String>> {
        let early = self.pull_all(connection).await;
        assert!(early.is_empty(), "a file is never taken at first sight");
        self.clock.advance(Duration::from_secs(3));
        self.pull_all(connection).await
    }
}

const FILE: &str = "Nr;Name;Mail;Age\n1;Ann;a@b.c;30\n2;Bob;b@b.c;\n3;Cid;c@b.c;x\n";

#[tokio::test]
async fn a_stable_file_is_read_once_in_pages() {
    let mut scene = Scene::new();
    scene.drop_file("a.csv", FILE);
    let connection = scene.connection();
    assert_eq!(scene.settle(&connection).await, [vec!["1", "2"], vec!["3"]]);
    assert!(scene.settle(&connection).await.is_empty());
    let rejects = fs::read_to_string(scene.path("a.csv.rejects.csv")).unwrap();
    assert_eq!(
        rejects,
        "row,reason,line\n3,`age` is not a whole number,3;Cid;c@b.c;x\n"
    );
}

#[tokio::test]
async fn h1_18_a_growing_file_is_not_taken() {
    let mut scene = Scene::new();
    let connection = scene.connection();
    for length in [30, 40, FILE.len()] {
        scene.drop_file("a.csv", FILE.get(..length).unwrap());
        scene.clock.advance(Duration::from_secs(60));
        assert!(scene.pull_all(&connection).await.is_empty());
    }
    assert_eq!(scene.settle(&connection).await.concat(), ["1", "2", "3"]);
}

#[tokio::test]
async fn h1_18_the_same_name_with_new_content_is_a_new_file() {
    let mut scene = Scene::new();
    let connection = scene.connection();
    scene.drop_file("a.csv", FILE);
    scene.settle(&connection).await;
    scene.drop_file("a.csv", "Nr;Name;Mail;Age\n4;Dan;d@b.c;1\n");
    assert_eq!(scene.settle(&connection).await, [vec!["4"]]);
    assert!(
        !scene.path("a.csv.rejects.csv").exists(),
        "the rejects of the old content are gone"
    );
    let touched = File::options().append(true).open(scene.path("a.csv")).unwrap();
    touched
        .set_modified(std::time::UNIX_EPOCH + Duration::from_secs(5))
        .unwrap();
    assert!(scene.settle(&connection).await.is_empty(), "touched but the same");
}

#[tokio::test]
async fn reading_goes_on_in_the_middle_after_a_restart() {
    let mut scene = Scene::new();
    scene.drop_file("a.csv", FILE);
    let first = scene.connection();
    scene.pull_all(&first).await;
    scene.clock.advance(Duration::from_secs(3));
    let page = first.pull("row", scene.cursor.as_ref()).await.unwrap();
    let again = first.pull("row", scene.cursor.as_ref()).await.unwrap();
    assert_eq!(page, again, "a page that was not committed is read again");
    scene.cursor = Some(page.next);
    let second = scene.connection();
    assert_eq!(scene.pull_all(&second).await, [vec!["3"]]);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_starts_over() {
    let mut scene = Scene::new();
    let connection = scene.connection();
    scene.drop_file("a.csv", FILE);
    scene.pull_all(&connection).await;
    scene.clock.advance(Duration::from_secs(3));
    scene.cursor = Some(connection.pull("row", scene.cursor.as_ref()).await.unwrap().next);
    scene.drop_file("a.csv", &format!("{FILE}4;Dan;d@b.c;1\n"));
    assert_eq!(scene.settle(&connection).await.concat(), ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_file_that_goes_away_half_read_is_told() {
    let mut scene = Scene::new();
    let connection = scene.connection();
    scene.drop_file("a.csv", FILE);
    scene.pull_all(&connection).await;
    scene.clock.advance(Duration::from_secs(3));
    scene.cursor = Some(connection.pull("row", scene.cursor.as_ref()).await.unwrap().next);
    fs::remove_file(scene.path("a.csv")).unwrap();
    let failure = connection.pull("row", scene.cursor.as_ref()).await.unwrap_err();
    assert_eq!(failure.problem.code, Code::FileUnreadable);
    assert_eq!(failure.problem.message, "went away when 2 rows of it had been read");
    scene.drop_file("a.csv", "");
    assert_eq!(
        scene.settle(&connection).await,
        [vec!["a.csv"]],
        "an empty file gives it up"
    );
}

#[tokio::test]
async fn a_useless_file_is_reported_and_the_others_go_on() {
    let mut scene = Scene::new();
    let connection = scene.connection();
    scene.drop_file("a.csv", "Nr;Name\n1;x\n");
    scene.drop_file("b.csv", FILE);
    let at = std::time::UNIX_EPOCH + Duration::from_secs(5);
    File::options()
        .append(true)
        .open(scene.path("a.csv"))
        .unwrap()
        .set_modified(at)
        .unwrap();
    let pages = scene.settle(&connection).await;
    assert_eq!(pages, [vec!["a.csv"], vec!["1", "2"], vec!["3"]]);
}

#[tokio::test]
async fn links_and_hidden_files_are_left_alone() {
    let mut scene = Scene::new();
    scene.drop_file(".part.csv", FILE);
    std::os::unix::fs::symlink(Path::new("/etc/passwd"), scene.path("link.csv")).unwrap();
    let connection = scene.connection();
    assert!(scene.settle(&connection).await.is_empty());
}

#[tokio::test]
async fn nothing_can_be_asked_or_written() {
    let scene = Scene::new();
    let connection = scene.connection();
    assert_eq!(
        connection.get("row", &["1".into()]).await.unwrap_err().class,
        Class::Forbidden
    );
    assert!(connection.check().await.is_ok());
    fs::remove_dir(scene.folder.path()).unwrap();
    assert_eq!(connection.check().await.unwrap_err().problem.code, Code::FileUnreadable);
}
