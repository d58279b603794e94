//! The cursor of a guest's stream: the state that may be handed back to the program, and how far the run under way is.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::connector::cursor::{AsCursor, Version};
use crate::model::UnixMillis;

/// Where reading a stream goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    v: Version,
    /// What the program is handed back. Of a foreign program only what it said in a run that ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Json>,
    /// The version of the rows that the program last declared to be all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<i64>,
    /// When the last run without state that ended well began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) whole_at: Option<UnixMillis>,
    /// The run under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<UnderWay>,
}

/// A run under way, and the page of it that comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnderWay {
    pub(super) id: String,
    pub(super) page: u64,
}

impl AsCursor for Place {
    const WHOSE: &'static str = "a program's stream";
}

impl Place {
    /// Takes over what a program said of its state. An empty state never replaces one that is there (P14): reading again
    /// loses nothing, forgetting where one was may.
    pub(super) fn keep(&mut self, state: Option<Json>) {
        let is_nothing = |state: &Json| match state {
            Json::Null => true,
            Json::Object(map) => map.is_empty(),
            Json::Array(items) => items.is_empty(),
            _ => false,
        };
        if let Some(state) = state.filter(|state| !is_nothing(state)) {
            self.state = Some(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Cursor;

    #[test]
    fn a_place_reads_back_and_a_foreign_cursor_is_refused() {
        let mut place = Place::parse(None).unwrap();
        place.keep(Some(json!({"bookmarks": {"users": 7}})));
        place.run = Some(UnderWay {
            id: "a".into(),
            page: 3,
        });
        assert_eq!(Place::parse(Some(&place.cursor())).unwrap(), place);
        assert!(Place::parse(Some(&Cursor("{\"v\":9}".into()))).is_err());
    }

    #[test]
    fn p14_an_empty_state_never_replaces_one_that_is_there() {
        let mut place = Place::parse(None).unwrap();
        place.keep(Some(json!({"at": 1})));
        for nothing in [None, Some(json!(null)), Some(json!({})), Some(json!([]))] {
            place.keep(nothing);
            assert_eq!(place.state, Some(json!({"at": 1})));
        }
        place.keep(Some(json!({"at": 2})));
        assert_eq!(place.state, Some(json!({"at": 2})));
    }
}
