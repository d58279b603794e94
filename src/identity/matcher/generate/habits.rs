//! What happens to the records of each family.

use super::Family;

/// A field that is spoiled in a family of records: how often it is missing, how often wrong, how many errors at most.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    pub(super) missing: f64,
    pub(super) wrong: f64,
    pub(super) most: usize,
}

/// What happens to the records of a family.
pub(super) struct Habits {
    pub(super) name: Rate,
    pub(super) place: Rate,
    pub(super) number: Rate,
    pub(super) swapped: f64,
    pub(super) nickname: f64,
    /// Another value altogether: another name, another address.
    pub(super) replaced: f64,
    /// Another date of birth, number or phone altogether.
    pub(super) renumbered: f64,
    /// A wrong state.
    pub(super) state: f64,
    /// The most records of one person beside the first.
    pub(super) copies: usize,
    pub(super) alone: f64,
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn habits(kind: Family) -> Habits {
    let rate = |missing, wrong, most| Rate { missing, wrong, most };
    match kind {
        Family::Register => Habits {
            name: rate(0.025, 0.18, 2),
            place: rate(0.03, 0.22, 2),
            number: rate(0.02, 0.09, 1),
            swapped: 0.04,
            nickname: 0.0,
            replaced: 0.07,
            renumbered: 0.035,
            state: 0.05,
            copies: 5,
            alone: 0.45,
        },
        Family::RoughRegister => Habits {
            name: rate(0.03, 0.55, 3),
            place: rate(0.03, 0.45, 3),
            number: rate(0.05, 0.3, 2),
            swapped: 0.07,
            nickname: 0.0,
            replaced: 0.04,
            renumbered: 0.05,
            state: 0.3,
            copies: 9,
            alone: 0.5,
        },
        Family::Sparse => Habits {
            name: rate(0.18, 0.22, 2),
            place: rate(0.2, 0.22, 2),
            number: rate(0.2, 0.25, 2),
            swapped: 0.10,
            nickname: 0.04,
            replaced: 0.02,
            renumbered: 0.0,
            state: 0.0,
            copies: 6,
            alone: 0.1,
        },
        Family::Lives => Habits {
            name: rate(0.03, 0.12, 1),
            place: rate(0.2, 0.04, 1),
            number: rate(0.22, 0.12, 1),
            swapped: 0.01,
            nickname: 0.12,
            replaced: 0.06,
            renumbered: 0.01,
            state: 0.0,
            copies: 18,
            alone: 0.03,
        },
        Family::Births => Habits {
            name: rate(0.0, 0.22, 1),
            place: rate(1.0, 0.0, 1),
            number: rate(0.0, 0.15, 1),
            swapped: 0.0,
            nickname: 0.0,
            replaced: 0.0,
            renumbered: 0.0,
            state: 0.0,
            copies: 1,
            alone: 0.89,
        },
        _ => Habits {
            name: rate(0.02, 0.06, 1),
            place: rate(0.05, 0.06, 1),
            number: rate(0.06, 0.04, 1),
            swapped: 0.01,
            nickname: 0.06,
            replaced: 0.04,
            renumbered: 0.01,
            state: 0.03,
            copies: 7,
            alone: 0.3,
        },
    }
}
