//! Handoffs: a rule says when a customer passes from one team to the next, and every passage is accounted for until it
//! arrived (with proof), or stopped (with a reason and who must act).
//!
//! Pure: what the ledger holds and the time come in, passages go out. What a tool holds of a customer is judged in `sync`.

mod calendar;
mod figures;
mod funnel;
mod note;
mod open;
mod passage;
mod rule;
mod when;

pub use calendar::{BadCalendar, Calendar};
pub use figures::{Cohort, Counting, Figures, Spread, figures};
pub use funnel::{Step, funnel};
pub use note::{Note, NoteState, compose, marker};
pub use open::{Opened, Scene, open};
pub use passage::{Accepted, Passage, Proof, Reason, Standing, State, Stop, Who, advance};
pub use rule::{NoteKind, Rule, Within};
pub use when::{BadWhen, Missing, When, Words};
