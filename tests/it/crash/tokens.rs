//! The sweep over the renewal of a token, at a tool that takes an old refresh token back with the first use of it. Killed
//! before and after every effect, the grant is never lost but in one place, where nobody can help it: the tool has rotated
//! and the disk does not know yet. There it is said, kept, and over with the next sign-in.

use std::path::Path;
use std::process::Output;

use nivel::sandbox::oauth::OAuthTool;

use crate::auth::{nivel, prepare, sign_in, text};
use crate::trial::scratch;

/// No renewal has more effects.
const EFFECTS_MAX: u64 = 60;

async fn run(dir: &Path, words: &[&str], fault: &str) -> Output {
    let mut command = nivel(dir, words);
    command.env("NIVEL_FAULT", fault);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

async fn sync(dir: &Path, fault: &str) -> Output {
    run(dir, &["sync", "--approve"], fault).await
}

/// Asks the tool who Nivel is.
async fn check(dir: &Path, after: &str) {
    let checked = run(dir, &["check"], "").await;
    assert!(checked.status.success(), "{after}: {}", text(&checked.stderr));
}

async fn agree(dir: &Path) {
    let signed = sign_in(dir, &["auth", "crm", "--paste"], async |next| Some(next)).await;
    assert!(signed.status.success(), "{}", text(&signed.stderr));
}

/// What became of a renewal that was interrupted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fate {
    /// There was such an effect.
    was_there: bool,
    /// The rotated token was lost with the process.
    is_lost: bool,
}

/// Dies (or fails) at effect `number` of a sync that has to renew its token; then another one.
async fn renewed(mode: &str, number: u64) -> Fate {
    let fault = format!("{mode}:{number}");
    let tool = OAuthTool::start().await.unwrap();
    let folder = scratch();
    let dir = folder.path();
    prepare(dir, &tool.base);
    agree(dir).await;
    tool.expire();
    let was_there = !sync(dir, &fault).await.status.success();
    let whole = sync(dir, "").await;
    let is_lost = !whole.status.success();
    if is_lost {
        let said = text(&whole.stderr) + &text(&whole.stdout);
        assert!(said.contains("AUT001"), "{fault}: {said}");
        assert_eq!(
            (tool.counts().refreshes, tool.counts().reused),
            (1, 1),
            "{fault}: only a token that the tool took back may be missing"
        );
        let listed = text(&nivel(dir, &["auth", "list"]).output().unwrap().stdout);
        assert!(listed.contains("crm"), "{fault}: the old grant is kept: {listed}");
        agree(dir).await;
        assert!(sync(dir, "").await.status.success(), "{fault}");
    } else {
        assert_eq!(tool.counts().reused, 0, "{fault}: an old token was sent again");
    }
    // What was renewed is on the disk: nothing is asked for again, and the next renewal works.
    let before = tool.counts().refreshes;
    check(dir, &fault).await;
    assert_eq!(tool.counts().refreshes, before, "{fault}");
    tool.expire();
    check(dir, &fault).await;
    assert_eq!(tool.counts().refreshes, before + 1, "{fault}");
    Fate { was_there, is_lost }
}

/// Sweeps until there is no such effect any more: how many there were, and at which of them the token was lost.
async fn sweep(mode: &str) -> (u64, Vec<u64>) {
    let mut lost = Vec::new();
    for number in 1..EFFECTS_MAX {
        let fate = renewed(mode, number).await;
        if !fate.was_there {
            return (number - 1, lost);
        }
        lost.extend(fate.is_lost.then_some(number));
    }
    panic!("a renewal has more than {EFFECTS_MAX} effects");
}

#[tokio::test(flavor = "multi_thread")]
async fn p66_a_renewal_killed_anywhere_loses_the_grant_only_between_the_tool_and_the_disk() {
    let (before, lost_before) = sweep("kill-before").await;
    let (after, lost_after) = sweep("kill-after").await;
    assert!(before > 5 && before == after, "{before} and {after} effects");
    let [answered] = lost_after.as_slice() else {
        panic!("lost after the effects {lost_after:?}");
    };
    assert_eq!(lost_before, [answered + 1], "the commit right after the tool's answer");
    for number in 1..=before {
        let fate = renewed("error", number).await;
        assert!(
            !fate.is_lost,
            "error:{number}: what the disk did not take is kept and tried again"
        );
    }
}
