//! Manifests: a connector as data. Types of the YAML format, parsing with positions, expressions, and the mapping between
//! a tool's objects and canonical records. Pure: files are read by the caller, requests are made by `connector`.

mod activity;
mod attach;
mod body;
#[cfg(test)]
mod canned;
mod cond;
mod consent;
mod decode;
mod describe;
pub mod draft;
mod dynamic;
mod event;
mod expr;
mod field;
mod filters;
mod from_answer;
mod guest;
mod hook;
mod job;
mod joined;
mod lint;
mod lint_sense;
#[cfg(test)]
mod lint_tests;
mod map;
mod map_out;
#[cfg(test)]
mod map_tests;
pub mod mask;
mod notes;
mod oauth;
mod object;
mod once;
mod paging;
mod parents;
mod path;
mod read;
mod scalar;
mod shipped;
mod spec;
pub mod tests;
mod types;
mod value;
mod write;
mod yaml;

pub use activity::{ObjectKind, Of};
pub use attach::Attach;
pub use body::Body;
pub use cond::Cond;
pub use consent::Consent;
pub(crate) use decode::suggest;
pub use describe::{Describe, Lists};
pub use event::{Act, Hint, Subject};
pub use expr::{BadExpression, Context, FUEL, Template};
pub use field::{Field, FieldMap, FieldType, KeyRole, Pairs, RawWrite, TimeFormat, WriteRule};
pub use from_answer::FromAnswer;
pub use guest::{Absent, Can, Guest, GuestStream, Speaks};
pub use hook::{
    Call, Decode, Encoding, EventKind, EventOp, EventTime, Events, Handshake, Hash, Merge, Rekey, SignedAt, Split,
    Subscriptions, Verify, Webhook, Zone,
};
pub use job::{FileFormat, JobResults, ListJob};
pub use joined::{Merged, joined_in};
pub use lint::lint;
pub use map::Mapper;
pub use notes::{NoteCreate, NoteFind, Notes};
pub use oauth::{Assertion, ClientAuth, GrantKind, OAuth2, TokenBody};
pub use object::{
    Ceiling, CommitAt, CursorRead, CursorTo, Deletes, Find, Full, Get, Missing, Modified, Object, Order, Read, Then,
    Window,
};
pub use paging::{Guard, Paging};
pub use parents::{ParentList, Parents};
pub use path::{BadPath, Found, Path};
pub use scalar::{Many, Method, Param, Period, Rate, Request, Start};
pub use shipped::{shipped, shipped_tests};
pub use types::{
    Auth, Basic, ErrorRule, FORMAT, Jwt, Limit, Manifest, OpName, Pattern, Per, Pick, Places, RateLimit, Reading,
    SecretEncoding, Setting, SettingType, Source, Support, Wait,
};
pub use value::PhoneNormaliser;
pub use write::{Answer, Before, Each, FailedRows, FollowUp, Job, OkRows, OneResult, Op, Results, RowKey, WriteOps};
