//! Rates that several processes share, in Redis: one script, so that no two of them ever read the same level.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Value, pipe};

use super::redis::Redis;
use crate::model::{Bucket, SharedBudget, Taken};

/// For how long a process that asked is counted as one of those who share.
const MEMBER_FOR: Duration = Duration::from_secs(60);
/// The script. It is sent whole: a digest that Redis forgot would cost a second round trip, and the line is short.
const TAKE: &str = include_str!("budget.lua");

fn micros(time: Duration) -> u64 {
    // Rounded up: a refill too early would be one too many.
    u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[async_trait]
impl SharedBudget for Redis {
    async fn take(&self, buckets: &[Bucket]) -> Option<Taken> {
        let mut pipeline = pipe();
        let command = pipeline
            .cmd("EVAL")
            .arg(TAKE)
            .arg(1 + 2 * buckets.len())
            .arg(self.name("members"));
        for bucket in buckets {
            command
                .arg(self.name(&bucket.name))
                .arg(self.name(&format!("{} closed", bucket.name)));
        }
        command.arg(self.member()).arg(micros(MEMBER_FOR));
        for bucket in buckets {
            let is_full = u8::from(bucket.is_full_at_first);
            command
                .arg(bucket.burst)
                .arg(micros(bucket.period))
                .arg(bucket.cost)
                .arg(is_full);
        }
        let reply = self.write(&pipeline).await?.into_iter().next()?;
        let Some((lacking, wait, members)) = read(reply) else {
            self.note_down("redis answered the budget's script with something else");
            return None;
        };
        self.note_members(members);
        Some(match lacking.checked_sub(1) {
            None => Taken::Now,
            Some(index) => Taken::In {
                index,
                wait: Duration::from_micros(wait),
            },
        })
    }

    async fn close(&self, name: &str, wait: Duration) {
        let mut pipeline = pipe();
        // The server's time again: what is stored is a moment.
        let script = "local t = redis.call('TIME') \
            redis.call('SET', KEYS[1], string.format('%.0f', t[1] * 1000000 + t[2] + ARGV[1]), 'PX', math.ceil(ARGV[1] / 1000) + 1)";
        let key = self.name(&format!("{name} closed"));
        pipeline.cmd("EVAL").arg(script).arg(1).arg(key).arg(micros(wait));
        if self.write(&pipeline).await.is_none() {
            tracing::debug!("other processes could not be told to leave a tool alone");
        }
    }

    fn members(&self) -> u32 {
        self.last_members()
    }
}

fn read(reply: Value) -> Option<(usize, u64, u32)> {
    let (lacking, wait, members) = redis::from_redis_value::<(usize, String, u32)>(reply).ok()?;
    Some((lacking, wait.parse().ok()?, members))
}
