//! The words of Nivel as types: records, values, identifiers, customers, time. No I/O, no clock, no vendor.

mod activity;
mod budget;
mod customer;
mod describe;
mod exchange;
mod field;
mod identifier;
mod record;
mod spec;
mod time;
mod token;

pub use activity::{Activity, Holder, HolderBy, HolderSpec};
pub use budget::{Bucket, Late, QuotaAsk, QuotaGrant, QuotaSlots, QuotaStore, QuotaUse, SharedBudget, Taken};
pub use customer::{Customer, CustomerKey, Kind, Lineage, Origin};
pub use describe::{Described, Description};
pub use exchange::{Cursor, Done, Incoming, Joined, Operation, Outcome, Page, SweepMark, Wanted, WriteAction};
pub use field::{FieldName, Fields, Value};
pub use identifier::{Identifier, IdentifierKind};
pub use record::{BOUNCES_MAX, Bounce, Freeze, Observed, Ours, Record, RecordId, StreamId};
pub use spec::{FieldSpec, StreamSpec, Sweeps, WriteMode};
pub use time::{Clock, SystemClock, TestClock, UnixMillis};
pub use token::{SealedToken, TokenStore};
