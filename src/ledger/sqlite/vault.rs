//! Quotas and tokens: small durable things of the connections, beside the commits.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::OptionalExtension;

use super::Sqlite;
use super::trouble::Trouble;
use super::worker::Desk;
use crate::error::{Code, Problem};
use crate::ledger::Error;
use crate::model::{QuotaAsk, QuotaGrant, QuotaSlots, QuotaStore, QuotaUse, SealedToken, TokenStore, UnixMillis};

fn told(error: Error) -> Problem {
    match error {
        Error::Broken(problem) => problem,
        Error::Stale => Problem::new(Code::Bug, "a note beside the commits was refused as stale"),
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn amount(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn slots(text: &str) -> Result<QuotaSlots, Trouble> {
    let rows: Vec<(UnixMillis, u64)> =
        serde_json::from_str(text).map_err(|_error| Trouble::bug("the figures of a quota cannot be read"))?;
    Ok(QuotaSlots(rows))
}

fn change<T>(
    desk: &Desk,
    name: &str,
    span: Duration,
    max: Option<u64>,
    act: impl FnOnce(&mut QuotaSlots) -> T,
) -> Result<T, Trouble> {
    let known: Option<String> = desk
        .conn
        .prepare_cached("SELECT slots FROM quota WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let mut rows = known.as_deref().map(slots).transpose()?.unwrap_or_default();
    let result = act(&mut rows);
    let text =
        serde_json::to_string(&rows.0).map_err(|_error| Trouble::bug("the figures of a quota cannot be written"))?;
    let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    desk.conn
        .prepare_cached(
            "INSERT INTO quota (name, span_ms, max, slots) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE \
             SET span_ms = excluded.span_ms, max = max(excluded.max, CASE WHEN ?5 THEN 0 ELSE max END), slots = excluded.slots",
        )?
        .execute((name, span_ms, number(max.unwrap_or(0)), text, max.is_some()))?;
    Ok(result)
}

#[async_trait]
impl QuotaStore for Sqlite {
    async fn reserve(&self, ask: &QuotaAsk, now: UnixMillis) -> Result<QuotaGrant, Problem> {
        let ask = ask.clone();
        self.writer
            .run(move |desk| {
                change(desk, &ask.name, ask.span, Some(ask.max), |slots| {
                    slots.reserve(&ask, now)
                })
            })
            .await
            .map_err(told)
    }

    async fn correct(&self, name: &str, span: Duration, spent: u64, now: UnixMillis) -> Result<(), Problem> {
        let name = name.to_owned();
        self.writer
            .run(move |desk| change(desk, &name, span, None, |slots| slots.correct(span, spent, now)))
            .await
            .map_err(told)
    }

    async fn quotas(&self, now: UnixMillis) -> Result<Vec<QuotaUse>, Problem> {
        self.readers.look(move |desk| quotas(desk, now)).await.map_err(told)
    }
}

fn quotas(desk: &Desk, now: UnixMillis) -> Result<Vec<QuotaUse>, Trouble> {
    let mut statement = desk
        .conn
        .prepare_cached("SELECT name, span_ms, max, slots FROM quota ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (name, span_ms, max, text): (String, i64, i64, String) = row?;
        let span = Duration::from_millis(amount(span_ms));
        let mut slots = slots(&text)?;
        slots.expire(span, now);
        found.push(QuotaUse {
            name: name.into(),
            span_s: span.as_secs(),
            max: amount(max),
            spent: slots.spent(),
        });
    }
    Ok(found)
}

/// Whoever was renewing a token is dead: only one process at a time has the ledger open to write, and this one just opened it.
pub(super) fn end_leases(conn: &rusqlite::Connection) -> Result<(), Trouble> {
    conn.execute(
        "UPDATE token SET lease_holder = NULL, lease_until = NULL WHERE lease_holder IS NOT NULL",
        [],
    )?;
    Ok(())
}

const TOKEN: &str = "SELECT system, key_id, sealed, version, updated_at FROM token";

fn token_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<SealedToken> {
    Ok(SealedToken {
        system: row.get::<_, String>(0)?.into(),
        key_id: row.get::<_, String>(1)?.into(),
        sealed: row.get(2)?,
        version: amount(row.get(3)?),
        updated_at: UnixMillis(row.get(4)?),
    })
}

#[async_trait]
impl TokenStore for Sqlite {
    async fn token(&self, system: &str) -> Result<Option<SealedToken>, Problem> {
        let system = system.to_owned();
        let look = move |desk: &mut Desk| {
            let mut statement = desk.conn.prepare_cached(&format!("{TOKEN} WHERE system = ?1"))?;
            Ok(statement.query_row([system], token_row).optional()?)
        };
        self.readers.look(look).await.map_err(told)
    }

    async fn tokens(&self) -> Result<Vec<SealedToken>, Problem> {
        let look = |desk: &mut Desk| {
            let mut statement = desk.conn.prepare_cached(&format!("{TOKEN} ORDER BY system"))?;
            let rows = statement.query_map([], token_row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        };
        self.readers.look(look).await.map_err(told)
    }

    async fn put_token(&self, token: &SealedToken) -> Result<bool, Problem> {
        let token = token.clone();
        self.writer.run(move |desk| put(desk, &token)).await.map_err(told)
    }

    async fn remove_token(&self, system: &str) -> Result<bool, Problem> {
        let system = system.to_owned();
        let remove = move |desk: &mut Desk| {
            let mut statement = desk.conn.prepare_cached("DELETE FROM token WHERE system = ?1")?;
            Ok(statement.execute([system])? == 1)
        };
        self.writer.run(remove).await.map_err(told)
    }

    async fn lease_token(
        &self,
        system: &str,
        holder: &str,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<bool, Problem> {
        let (system, holder) = (system.to_owned(), holder.to_owned());
        let lease = move |desk: &mut Desk| {
            let changed = desk
                .conn
                .prepare_cached(
                    "UPDATE token SET lease_holder = ?2, lease_until = ?4 \
                     WHERE system = ?1 AND (lease_holder IS NULL OR lease_holder = ?2 OR lease_until <= ?3)",
                )?
                .execute((system, holder, now.0, until.0))?;
            Ok(changed == 1)
        };
        self.writer.run(lease).await.map_err(told)
    }

    async fn release_token(&self, system: &str, holder: &str) -> Result<(), Problem> {
        let (system, holder) = (system.to_owned(), holder.to_owned());
        let release = move |desk: &mut Desk| {
            desk.conn
                .prepare_cached(
                    "UPDATE token SET lease_holder = NULL, lease_until = NULL WHERE system = ?1 AND lease_holder = ?2",
                )?
                .execute((system, holder))?;
            Ok(())
        };
        self.writer.run(release).await.map_err(told)
    }
}

fn put(desk: &Desk, token: &SealedToken) -> Result<bool, Trouble> {
    let SealedToken {
        system,
        key_id,
        sealed,
        version,
        updated_at,
    } = token;
    let changed = if *version == 0 {
        desk.conn
            .prepare_cached(
                "INSERT INTO token (system, key_id, sealed, version, updated_at) VALUES (?1, ?2, ?3, 1, ?4) \
                 ON CONFLICT (system) DO NOTHING",
            )?
            .execute((system.as_str(), key_id.as_str(), sealed, updated_at.0))?
    } else {
        desk.conn
            .prepare_cached(
                "UPDATE token SET key_id = ?2, sealed = ?3, version = version + 1, updated_at = ?4, \
                 lease_holder = NULL, lease_until = NULL WHERE system = ?1 AND version = ?5",
            )?
            .execute((system.as_str(), key_id.as_str(), sealed, updated_at.0, number(*version)))?
    };
    Ok(changed == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TestClock;

    const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn open(dir: &tempfile::TempDir) -> Sqlite {
        Sqlite::open(&dir.path().join("nivel.db"), &TestClock::at(NOW)).unwrap()
    }

    fn ask(want: u64) -> QuotaAsk {
        QuotaAsk {
            name: "crm 86400000ms".into(),
            span: DAY,
            max: 100,
            want,
            least: 1,
        }
    }

    #[tokio::test]
    async fn p29_a_days_quota_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let granted = open(&dir).reserve(&ask(90), NOW).await.unwrap();
        assert!(matches!(granted, QuotaGrant::Granted { amount: 90, .. }));
        let ledger = open(&dir);
        assert!(matches!(
            ledger.reserve(&ask(90), NOW).await.unwrap(),
            QuotaGrant::Granted { amount: 10, .. }
        ));
        assert!(matches!(
            ledger.reserve(&ask(1), NOW).await.unwrap(),
            QuotaGrant::Full { .. }
        ));
        let used = QuotaUse {
            name: "crm 86400000ms".into(),
            span_s: 86_400,
            max: 100,
            spent: 100,
        };
        assert_eq!(ledger.quotas(NOW).await.unwrap(), [used]);
        ledger.correct("crm 86400000ms", DAY, 40, NOW).await.unwrap();
        assert_eq!(ledger.quotas(NOW).await.unwrap()[0].spent, 40);
        assert_eq!(ledger.quotas(NOW).await.unwrap()[0].max, 100);
        assert_eq!(ledger.quotas(NOW.plus(DAY * 2)).await.unwrap()[0].spent, 0);
    }

    fn token(version: u64, sealed: &[u8]) -> SealedToken {
        SealedToken {
            system: "crm".into(),
            key_id: "k1".into(),
            sealed: sealed.to_vec(),
            version,
            updated_at: NOW,
        }
    }

    #[tokio::test]
    async fn p66_a_token_is_changed_only_on_top_of_the_version_that_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = open(&dir);
        assert_eq!(ledger.token("crm").await.unwrap(), None);
        assert!(ledger.put_token(&token(0, b"a")).await.unwrap());
        assert!(!ledger.put_token(&token(0, b"b")).await.unwrap(), "there is one");
        assert!(ledger.put_token(&token(1, b"c")).await.unwrap());
        assert!(!ledger.put_token(&token(1, b"d")).await.unwrap(), "somebody was faster");
        drop(ledger);
        let ledger = open(&dir);
        assert_eq!(ledger.tokens().await.unwrap(), [token(2, b"c")]);
    }

    #[tokio::test]
    async fn p66_one_at_a_time_renews_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = open(&dir);
        ledger.put_token(&token(0, b"a")).await.unwrap();
        let later = NOW.plus(Duration::from_secs(60));
        assert!(ledger.lease_token("crm", "one", NOW, later).await.unwrap());
        assert!(ledger.lease_token("crm", "one", NOW, later).await.unwrap());
        assert!(!ledger.lease_token("crm", "two", NOW, later).await.unwrap());
        ledger.release_token("crm", "two").await.unwrap();
        assert!(!ledger.lease_token("crm", "two", NOW, later).await.unwrap());
        assert!(
            ledger.lease_token("crm", "two", later, later.plus(DAY)).await.unwrap(),
            "one has died"
        );
        assert!(ledger.put_token(&token(1, b"b")).await.unwrap());
        assert!(
            ledger.lease_token("crm", "one", later, later).await.unwrap(),
            "a new version ends the lease"
        );
        assert!(ledger.lease_token("crm", "one", later, later.plus(DAY)).await.unwrap());
        drop(ledger);
        let ledger = open(&dir);
        assert!(
            ledger.lease_token("crm", "two", later, later).await.unwrap(),
            "nobody waits for a process that is dead"
        );
    }
}
