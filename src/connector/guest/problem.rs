//! What a person reads when a guest does not do what it should.

use crate::error::{Class, Code, Failure, Problem};

/// It ended badly, or says itself that it failed. Tried again at the stream's next turn, from the state that is held.
pub(super) fn failed(system: &str, how: &str) -> Failure {
    of(Code::GuestFailed, system, format!("the program {how}"))
}

/// It said something that is not in its language.
pub(super) fn foul(system: &str, what: &str) -> Failure {
    of(Code::GuestSpeech, system, format!("the program said {what}"))
}

/// It took too long and was killed.
pub(super) fn slow(system: &str, how: &str) -> Failure {
    of(Code::GuestSlow, system, format!("the program {how} and was killed"))
}

/// Not a passing fault of one request: a run is expensive, so it waits for its next turn instead of being repeated at once.
fn of(code: Code, system: &str, message: String) -> Failure {
    Failure::new(Class::Forbidden, Problem::new(code, message).about(system))
}
