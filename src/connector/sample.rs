//! A few objects as they come, beside what becomes of them: for whoever writes or checks a mapping.

use std::collections::BTreeMap;

use crate::model::{FieldName, Incoming};

/// One object, raw and mapped.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What stands at the place of each mapped field, as text; missing where there is nothing.
    pub raw: BTreeMap<FieldName, String>,
    /// What becomes of it.
    pub record: Incoming,
}

impl Sample {
    /// A sample of which only the outcome is known.
    #[must_use]
    pub fn of(record: Incoming) -> Self {
        Self {
            raw: BTreeMap::new(),
            record,
        }
    }
}
