//! Manifests: a connector as data. Types of the YAML format, parsing with positions, expressions, and the mapping between
//! a tool's objects and canonical records. Pure: files are read by the caller, requests are made by `connector`.

mod dynamic;
mod expr;
mod field;
mod filters;
mod hook;
mod map;
mod object;
mod path;
mod scalar;
pub mod tests;
mod types;

pub use expr::{BadExpression, Body, Cond, Context, FUEL, Template};
pub use field::{Field, FieldMap, FieldType, KeyRole, Pairs, RawWrite, TimeFormat, WriteRule};
pub use hook::{
    Decode, Encoding, EventKind, EventOp, EventTime, Events, Hash, Merge, Rekey, SignedAt, Split, Verify, Webhook, Zone,
};
pub use object::{
    Answer, Ceiling, CommitAt, CursorRead, Deletes, FailedRows, Find, FollowUp, Full, Get, Guard, Job, Missing,
    Modified, Object, OkRows, OneResult, Op, Order, Paging, Read, Results, RowKey, Then, Window, WriteOps,
};
pub use path::{BadPath, Found, Path};
pub use scalar::{Many, Method, Param, Period, Rate, Request, Start};
pub use types::{
    Auth, Basic, ErrorRule, FORMAT, Jwt, Limit, Manifest, OpName, Pattern, Per, Pick, Places, RateLimit,
    SecretEncoding, Setting, SettingType, Source, Support, Wait,
};
