//! Who stands where, counted in one look.

use async_trait::async_trait;

use super::Error;
use crate::model::{CustomerKey, StreamId};

/// Customers of some streams, held against others. All of it is one state of the ledger, and each figure is counted by
/// itself: that they fit together is no matter of course.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Objects of the first streams that are not deleted.
    pub objects: u64,
    /// The customers they belong to.
    pub customers: u64,
    /// Of these, the ones who also have an object in the other streams that is not deleted.
    pub matched: u64,
    /// The others, in the order of their keys.
    pub missing: Vec<CustomerKey>,
}

/// The part of the ledger that counts.
#[async_trait]
pub trait Counting: Send + Sync {
    /// Holds the customers of some streams against others.
    async fn census(&self, here: &[StreamId], there: &[StreamId]) -> Result<Census, Error>;
}
