//! Where sealed OAuth tokens are kept. The seal itself is the business of the connector.

use async_trait::async_trait;
use compact_str::CompactString;

use super::UnixMillis;
use crate::error::Problem;

/// A grant of one system, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedToken {
    /// The system.
    pub system: CompactString,
    /// The key it is sealed with.
    pub key_id: CompactString,
    /// The sealed grant.
    pub sealed: Vec<u8>,
    /// Counts the changes; 0 in a token that is not stored yet.
    pub version: u64,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

/// Durable tokens, one per system, changed by one process at a time.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The grant of a system.
    async fn token(&self, system: &str) -> Result<Option<SealedToken>, Problem>;

    /// Every grant, by system.
    async fn tokens(&self) -> Result<Vec<SealedToken>, Problem>;

    /// Stores a grant durably before it returns, and ends whatever lease there is; false when the stored version is not
    /// the one in `token` any more (0: there must be none), and then nothing was changed.
    async fn put_token(&self, token: &SealedToken) -> Result<bool, Problem>;

    /// Makes `holder` the only one who may renew the grant until `until`; false while somebody else is.
    async fn lease_token(
        &self,
        system: &str,
        holder: &str,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<bool, Problem>;

    /// Ends the lease of `holder`.
    async fn release_token(&self, system: &str, holder: &str) -> Result<(), Problem>;
}
