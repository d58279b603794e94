//! The admin's yes. A new setup writes nothing until its plan was approved, and a stream that suddenly wants to write much
//! more than usual is held until somebody has looked at it.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::engine::Engine;
use crate::error::{Code, Problem};
use crate::ledger::{DueWrites, Error as LedgerError, Ledger};
use crate::merge::{Brake, OnDelete, Rules};
use crate::model::{StreamId, UnixMillis};

/// Under this name the approval stands in the ledger's settings.
const SETTING: &str = "approval";

/// What an admin said yes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Which setup: a digest of the systems and rules that decide what is written.
    pub setup: String,
    /// When. What was wanted by then is approved.
    pub at: UnixMillis,
    /// Who.
    pub by: CompactString,
}

/// Digest of everything in the rules that decides what may be written where. What a connector can do is not part of it:
/// a new version of a manifest asks for nobody's yes, the brake looks at what follows from it.
pub(super) fn setup_of(rules: &Rules) -> String {
    let mut text = String::new();
    let mut line = |parts: &[String]| {
        text.push_str(&parts.join("\t"));
        text.push('\n');
    };
    for (name, system) in &rules.systems {
        // Nothing is written to activities.
        for (stream, rules) in system.streams.iter().filter(|(_, rules)| !rules.spec.is_activity()) {
            line(&[
                name.to_string(),
                format!("{:?}", system.role),
                stream.to_string(),
                format!("{:?}", rules.create),
                format!("{:?}", rules.qualified_by),
                rules.write.to_string(),
            ]);
            // Only where somebody asked for it, so that a setup without it is the one it always was.
            if rules.on_delete != OnDelete::default() {
                let removal = [rules.own, rules.allows_final_deletes].map(|flag| flag.to_string());
                line(&[name.to_string(), stream.to_string(), removal.join(" ")]);
            }
            if rules.allows_unsubscribing {
                line(&[name.to_string(), stream.to_string(), "unsubscribe".to_owned()]);
            }
        }
    }
    for (field, rule) in &rules.fields {
        line(&[field.to_string(), format!("{rule:?}")]);
    }
    line(&[format!("{:?}", rules.default), format!("{:?}", rules.external_ids)]);
    for rule in &rules.handoffs {
        let said = (&rule.to, rule.when.text(), rule.create, &rule.carry, rule.note);
        line(&[rule.name.to_string(), format!("{said:?}")]);
        if let Some(opens) = &rule.opens {
            line(&[rule.name.to_string(), format!("opens {opens}")]);
        }
    }
    for (field, roles) in &rules.share {
        line(&[field.to_string(), format!("share {roles:?}")]);
    }
    for (system, export) in &rules.exports {
        line(&[system.to_string(), format!("export {export}")]);
    }
    if let Some(matching) = &rules.matching {
        line(&[format!("{matching:?}")]);
    }
    Sha256::digest(text)
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// How many writes of one kind a stream may want in one go before somebody must look: part of its records, but never more
/// than the brake's number, and not so few that every small change of a small company asks for a yes.
pub(super) fn limit(brake: &Brake, records: u64) -> u64 {
    (records.saturating_mul(u64::from(brake.percent)) / 100)
        .max(brake.at_least)
        .min(brake.count)
}

/// Fewer removals, or objects that are gone, than this are never held; less than with changes, because what is gone by
/// mistake is hard to bring back.
const GONE_AT_LEAST: u64 = 5;

/// As [`limit`], for removals and for what a sweep did not meet.
pub(super) fn limit_of_gone(brake: &Brake, records: u64) -> u64 {
    let strict = Brake {
        at_least: brake.at_least.min(GONE_AT_LEAST),
        ..brake.clone()
    };
    limit(&strict, records)
}

/// Why a stream is held, if it wants more than the limit.
fn too_many(wanted: DueWrites, limit: u64) -> Option<Problem> {
    let kinds = [(wanted.creates, "new objects"), (wanted.updates, "changes")];
    let (number, what) = kinds.into_iter().find(|(number, _)| *number > limit)?;
    Some(held(number, what, limit))
}

fn held(number: u64, what: &str, limit: u64) -> Problem {
    let message = format!("{number} {what} at once, more than the brake lets through ({limit})");
    Problem::new(Code::WritesHeld, message).hint("`nivel plan` shows them, `nivel approve` lets them out")
}

async fn approval(ledger: &dyn Ledger, setup: &str) -> Result<Option<Approval>, LedgerError> {
    let stored = ledger.setting(SETTING).await?;
    let stored = stored.and_then(|text| serde_json::from_str::<Approval>(&text).ok());
    Ok(stored.filter(|approval| approval.setup == setup))
}

/// Whether somebody has said yes to these rules, as a ledger that somebody else may be at work with says.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn is_approved(ledger: &dyn Ledger, rules: &Rules) -> Result<bool, LedgerError> {
    Ok(approval(ledger, &setup_of(rules)).await?.is_some())
}

impl Engine {
    /// The approval of the present setup; `None` while nobody has said yes to it, or after somebody said stop.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn approval(&self) -> Result<Option<Approval>, LedgerError> {
        approval(self.ledger.as_ref(), &self.setup).await
    }

    /// Says yes to everything that is wanted now, and to the setup it follows from; lets out what is held. How many
    /// writes were held.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn approve(&self, by: &str) -> Result<u64, LedgerError> {
        let approval = Approval {
            setup: self.setup.clone(),
            at: self.clock.now(),
            by: by.into(),
        };
        self.release_match().await?;
        let released = self.ledger.release_held(approval.at).await?;
        self.ledger.approve_sweeps().await?;
        self.say(&approval).await?;
        tracing::info!(by, released, "what is wanted was approved");
        self.bell.notify_waiters();
        Ok(released)
    }

    /// Stops all writing until [`Engine::approve`]: the approval is taken back. Reading goes on.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn hold(&self, by: &str) -> Result<(), LedgerError> {
        let nothing = Approval {
            setup: String::new(),
            at: self.clock.now(),
            by: by.into(),
        };
        tracing::info!(by, "all writing is held");
        self.say(&nothing).await
    }

    async fn say(&self, approval: &Approval) -> Result<(), LedgerError> {
        let text = serde_json::to_string(approval).map_err(|error| {
            LedgerError::Broken(Problem::new(Code::Bug, format!("an approval has no JSON: {error}")))
        })?;
        self.ledger.set_setting(SETTING, &text).await
    }

    /// Holds what a stream wants if that is more than the brake lets through: what is due since the approval, together
    /// with what was already delivered since its outbox was last empty. Why, when it did.
    pub(super) async fn brake(
        &self,
        stream: &StreamId,
        approval: &Approval,
        delivered: DueWrites,
    ) -> Result<Option<Problem>, LedgerError> {
        let due = self.ledger.due(stream, approval.at).await?;
        if due == DueWrites::default() {
            return Ok(None);
        }
        let wanted = DueWrites {
            creates: due.creates + delivered.creates,
            updates: due.updates + delivered.updates,
            deletes: due.deletes + delivered.deletes,
        };
        let brake = self.rules.brake(&stream.system);
        if wanted.creates.max(wanted.updates) <= brake.at_least && wanted.deletes <= GONE_AT_LEAST {
            return Ok(None);
        }
        let records = self.ledger.count_records(stream).await?;
        let mut why = None;
        let gone_limit = limit_of_gone(brake, records);
        if due.deletes > 0 && wanted.deletes > gone_limit {
            let problem = held(wanted.deletes, "removals", gone_limit).about(stream);
            let held = self.ledger.hold_deletes(stream, approval.at, problem.clone()).await?;
            if held > 0 {
                tracing::warn!(%stream, held, %problem, "removals are held");
            }
            why = Some(problem);
        }
        let Some(problem) = too_many(wanted, limit(brake, records)) else {
            return Ok(why);
        };
        let problem = problem.about(stream);
        let held = self.ledger.hold_due(stream, approval.at, problem.clone()).await?;
        tracing::warn!(%stream, held, %problem, "writes are held");
        Ok(Some(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Role, StreamRules, SystemRules};

    #[test]
    fn the_brake_looks_at_the_part_and_at_the_number() {
        let brake = Brake::default();
        for (records, expected) in [
            (0, 20),
            (100, 20),
            (300, 30),
            (2_000, 200),
            (5_000, 500),
            (1_000_000, 500),
        ] {
            assert_eq!(limit(&brake, records), expected, "{records} records");
        }
        let wanted = |creates, updates| DueWrites {
            creates,
            updates,
            deletes: 0,
        };
        assert!(too_many(wanted(30, 30), 30).is_none());
        assert!(
            too_many(wanted(31, 0), 30)
                .unwrap()
                .message
                .starts_with("31 new objects")
        );
        assert!(too_many(wanted(0, 31), 30).unwrap().message.starts_with("31 changes"));
    }

    #[test]
    fn another_rule_is_another_setup() {
        let plain = Rules::default();
        let mut other = plain.clone();
        other.external_ids.push("customer_no".into());
        assert_ne!(setup_of(&plain), setup_of(&other));
        let with = |stream: StreamRules| {
            let system = SystemRules {
                role: Role::Sales,
                brake: Brake::default(),
                streams: [("person".into(), stream)].into(),
            };
            let systems = [("crm".into(), system)].into();
            setup_of(&Rules {
                systems,
                ..Rules::default()
            })
        };
        let deletes = StreamRules {
            on_delete: OnDelete::Delete,
            ..StreamRules::default()
        };
        assert_ne!(with(StreamRules::default()), with(deletes.clone()));
        let owns = StreamRules {
            own: true,
            ..deletes.clone()
        };
        assert_ne!(with(deletes), with(owns));
        assert_eq!(setup_of(&plain), setup_of(&plain.clone()));
    }
}
