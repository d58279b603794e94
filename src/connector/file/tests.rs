use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::model::{TestClock, UnixMillis};

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

    /// As [`Self::drop_file`]; the file system's clock is too coarse to tell what follows within a millisecond.
    fn drop_at(&self, seconds: u64, name: &str, content: &str) {
        self.drop_file(name, content);
        let file = File::options().append(true).open(self.path(name)).unwrap();
        let at = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(at).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn connection(&self) -> FileDrop {
        self.connection_with("")
    }

    fn connection_with(&self, more: &str) -> FileDrop {
        let mut config: FileConfig = serde_saphyr::from_str(&format!("folder: x\n{CONFIG}{more}")).unwrap();
        config.folder = Some(self.folder.path().to_owned());
        FileDrop::new("partner", config, &Secrets::new(), self.clock.clone()).unwrap()
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
async fn h1_18_of_rows_with_one_id_the_last_one_counts_and_the_others_are_told() {
    let mut scene = Scene::new();
    let connection = scene.connection();
    let rows = "Nr;Name;Mail;Age\n1;Old;a@b.c;1\n2;Bob;b@b.c;2\n3;Cid;c@b.c;3\n1;New;a@b.c;1\n2;Bob;b@b.c;9\n";
    scene.drop_file("a.csv", rows);
    scene.pull_all(&connection).await;
    scene.clock.advance(Duration::from_secs(3));
    let page = connection.pull("row", scene.cursor.as_ref()).await.unwrap();
    let names: Vec<_> = page
        .records
        .iter()
        .map(|row| row.fields.value("given_name").cloned())
        .collect();
    assert_eq!(names, [Value::text("Cid"), Value::text("New")]);
    scene.cursor = Some(page.next);
    let again = scene.connection();
    assert_eq!(scene.pull_all(&again).await, [vec!["2"]]);
    let rejects = fs::read_to_string(scene.path("a.csv.rejects.csv")).unwrap();
    let expected = "row,reason,line\n1,row 4 has the same id and counts instead,1;Old;a@b.c;1\n\
                    2,row 5 has the same id and counts instead,2;Bob;b@b.c;2\n";
    assert_eq!(rejects, expected);
}

#[tokio::test]
async fn spreadsheets_and_tabs_are_read_like_csv() {
    let mut scene = Scene::new();
    let connection = scene.connection_with("sheet: People\n");
    let mut book = rust_xlsxwriter::Workbook::new();
    book.add_worksheet().write(0, 0, "a cover").unwrap();
    let sheet = book.add_worksheet().set_name("people").unwrap();
    for (column, (header, cell)) in [("Nr", "0012"), ("Name", "Ann"), ("Mail", "a@b.c")]
        .into_iter()
        .enumerate()
    {
        let column = u16::try_from(column).unwrap();
        sheet.write(0, column, header).unwrap();
        sheet.write(1, column, cell).unwrap();
    }
    sheet.write(0, 3, "Age").unwrap();
    sheet.write(1, 3, 30.0).unwrap();
    book.save(scene.path("a.xlsx")).unwrap();
    scene.drop_file("b.tsv", "Nr\tName\tMail\tAge\n2\tB, the; second\tb@b.c\t7\n");
    scene.drop_file("c.xlsx", "no spreadsheet at all");
    let pages = scene.settle(&connection).await;
    assert_eq!(pages.concat(), ["0012", "2", "c.xlsx"]);
    let rejects = fs::read_dir(scene.folder.path()).unwrap();
    let rejects = rejects.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("rejects")
    });
    assert_eq!(rejects.count(), 0);
}

#[tokio::test]
async fn a_file_that_is_in_the_ledger_goes_into_the_archive() {
    let mut scene = Scene::new();
    let connection = scene.connection_with("archive: done\n");
    let list = |scene: &Scene| {
        let entries = fs::read_dir(scene.path("done")).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    scene.drop_at(1, "a.csv", "Nr;Name;Mail;Age\n4;Dan;d@b.c;1\n");
    assert_eq!(scene.settle(&connection).await, [vec!["4"]]);
    connection.tidy("row", scene.cursor.as_ref().unwrap()).await.unwrap();
    assert!(!scene.path("a.csv").exists());
    let shelved = list(&scene);
    assert_eq!(shelved.len(), 1);
    assert!(
        shelved[0].starts_with("a.") && shelved[0].ends_with(".csv"),
        "{shelved:?}"
    );
    // Sent again as it was: not read twice, put away all the same.
    scene.pull_all(&connection).await;
    scene.drop_at(2, "a.csv", "Nr;Name;Mail;Age\n4;Dan;d@b.c;1\n");
    assert!(scene.settle(&connection).await.is_empty());
    connection.tidy("row", scene.cursor.as_ref().unwrap()).await.unwrap();
    assert_eq!(list(&scene), shelved);
    // The same name with new content is a new file; one that changed since it was read stays.
    scene.drop_at(3, "a.csv", "Nr;Name;Mail;Age\n5;Eva;e@b.c;1\n");
    assert_eq!(scene.settle(&connection).await, [vec!["5"]]);
    let read = scene.cursor.clone().unwrap();
    scene.drop_at(4, "a.csv", "Nr;Name;Mail;Age\n6;Fay;f@b.c;10\n");
    connection.tidy("row", &read).await.unwrap();
    assert!(scene.path("a.csv").exists(), "nobody has read it yet");
    assert_eq!(scene.settle(&connection).await, [vec!["6"]]);
    connection.tidy("row", scene.cursor.as_ref().unwrap()).await.unwrap();
    assert_eq!(list(&scene).len(), 2);
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
