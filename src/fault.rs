//! The one door to effects on the world: every commit, request and file write goes through [`effect`].
//!
//! Crash points that somebody must remember to place miss the window that was forgotten. Here no effect can lack them:
//! the crash sweep counts the effects of a run, then kills the process before and after each of them, or lets each
//! of them fail. Outside tests the door costs one atomic load.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens at the chosen effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The process dies just before the effect.
    KillBefore,
    /// The process dies just after the effect, before anything learns of its result.
    KillAfter,
    /// The effect does not take place and reports an error.
    Error,
    /// Every effect is named on standard error with its number; nothing dies.
    List,
}

/// Where a fault is to be played: `kill-before:17`, `kill-after:17`, `error:17`, `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What happens.
    pub mode: Mode,
    /// At which effect, counted from 1.
    pub at: u64,
}

impl Plan {
    /// Reads a plan from text; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "list" {
            return Some(Self {
                mode: Mode::List,
                at: 0,
            });
        }
        let (mode, at) = text.split_once(':')?;
        let mode = match mode {
            "kill-before" => Mode::KillBefore,
            "kill-after" => Mode::KillAfter,
            "error" => Mode::Error,
            _ => return None,
        };
        Some(Self {
            mode,
            at: at.parse().ok()?,
        })
    }
}

static PLAN: OnceLock<Plan> = OnceLock::new();
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Arms the door for the rest of the process's life. Only the first call counts.
pub fn arm(plan: Plan) {
    PLAN.get_or_init(|| plan);
}

/// How many effects this process has had so far (only counted while armed).
#[must_use]
pub fn count() -> u64 {
    COUNT.load(Ordering::SeqCst)
}

/// The effect was prevented by an armed [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("prevented by the crash sweep")]
pub struct Prevented;

/// Runs one effect on the world. `name` says what it is: `commit`, `send`, `file`.
///
/// # Errors
/// [`Prevented`], only when a test armed the door with [`Mode::Error`] for this very effect.
pub async fn effect<T>(name: &'static str, act: impl Future<Output = T>) -> Result<T, Prevented> {
    let dies_after = enter(name)?;
    let result = act.await;
    leave(dies_after);
    Ok(result)
}

/// As [`effect`], for effects of blocking code.
///
/// # Errors
/// As [`effect`].
pub fn effect_blocking<T>(name: &'static str, act: impl FnOnce() -> T) -> Result<T, Prevented> {
    let dies_after = enter(name)?;
    let result = act();
    leave(dies_after);
    Ok(result)
}

/// True when the process must die after the effect.
fn enter(name: &'static str) -> Result<bool, Prevented> {
    let Some(plan) = PLAN.get() else {
        return Ok(false);
    };
    let number = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
    if plan.mode == Mode::List {
        tracing::info!(target: "nivel::fault", number, name, "effect");
        return Ok(false);
    }
    if plan.at != number {
        return Ok(false);
    }
    match plan.mode {
        Mode::KillBefore => std::process::abort(),
        Mode::KillAfter => Ok(true),
        Mode::Error => Err(Prevented),
        Mode::List => Ok(false),
    }
}

fn leave(dies: bool) {
    if dies {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_from_text() {
        assert_eq!(
            Plan::parse("kill-after:3"),
            Some(Plan {
                mode: Mode::KillAfter,
                at: 3
            })
        );
        assert_eq!(
            Plan::parse("list"),
            Some(Plan {
                mode: Mode::List,
                at: 0
            })
        );
        assert_eq!(Plan::parse("kill-after"), None);
        assert_eq!(Plan::parse("explode:1"), None);
    }
}
