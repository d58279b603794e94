//! The model forgets nobody and tells no hooks: both are held against the ledger's own file, in `erase.rs` and `hooks.rs`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use compact_str::CompactString;
use nivel::ledger::{Erasure, Error, Mark, Post, Posted, Posts, Privacy, Traces, Watch};
use nivel::model::{CustomerKey, StreamId, UnixMillis};

use super::Model;

#[async_trait]
impl Privacy for Model {
    async fn traces(&self, _customer: &CustomerKey) -> Result<Traces, Error> {
        Ok(Traces::default())
    }

    async fn begin_erasure(&self, _erasure: Erasure, _marks: Vec<Mark>) -> Result<i64, Error> {
        Ok(0)
    }

    async fn note_erasure(&self, _erasure: Erasure, _marks: Vec<Mark>) -> Result<(), Error> {
        Ok(())
    }

    async fn erasures(&self, _open: bool) -> Result<Vec<Erasure>, Error> {
        Ok(Vec::new())
    }

    async fn suppression(&self) -> Result<BTreeSet<Mark>, Error> {
        Ok(BTreeSet::new())
    }

    async fn note_suppressed(&self, _met: Vec<(StreamId, Mark)>, _at: UnixMillis) -> Result<(), Error> {
        Ok(())
    }

    async fn count_suppressed(&self, _stream: &StreamId) -> Result<u64, Error> {
        Ok(0)
    }

    async fn blank_events(&self, _events: Vec<i64>) -> Result<(), Error> {
        Ok(())
    }

    async fn purge(&self, _erasure: Erasure, _traces: Traces, _values: Vec<String>) -> Result<(), Error> {
        Ok(())
    }

    async fn scrub(&self) -> Result<bool, Error> {
        Ok(true)
    }
}

#[async_trait]
impl Posts for Model {
    async fn watch(&self, _watches: Vec<Watch>) -> Result<(), Error> {
        Ok(())
    }

    async fn due_posts(&self, _now: UnixMillis, _limit: usize) -> Result<Vec<Post>, Error> {
        Ok(Vec::new())
    }

    async fn settle_post(&self, _id: i64, _posted: Posted) -> Result<(), Error> {
        Ok(())
    }

    async fn posts(&self, _only_dead: bool, _limit: usize) -> Result<Vec<Post>, Error> {
        Ok(Vec::new())
    }

    async fn replay_posts(&self, _tokens: Vec<CompactString>, _now: UnixMillis) -> Result<u64, Error> {
        Ok(0)
    }
}
