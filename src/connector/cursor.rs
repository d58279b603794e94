//! What connections keep in their opaque cursors: a document with a version, which only its own kind of connection reads.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Class, Code, Failure, Problem};
use crate::model::Cursor;

/// The version of every cursor there is.
const VERSION: u32 = 1;

/// A place in a stream that stands in the ledger as a cursor.
pub(super) trait AsCursor: Default + Serialize + DeserializeOwned {
    /// Whose cursors these are, for a message.
    const WHOSE: &'static str;

    /// The place a cursor stands for; without one nothing was read yet.
    ///
    /// # Errors
    /// When it is another connection's, or of another version.
    fn parse(cursor: Option<&Cursor>) -> Result<Self, Failure> {
        let Some(cursor) = cursor else {
            return Ok(Self::default());
        };
        serde_json::from_str(&cursor.0).map_err(|_error| {
            let message = format!("the stored cursor is not one of {}", Self::WHOSE);
            let problem = Problem::new(Code::Bug, message).hint("`nivel backfill` reads the stream anew");
            Failure::new(Class::Forbidden, problem)
        })
    }

    /// The cursor of this place.
    fn cursor(&self) -> Cursor {
        Cursor(serde_json::to_string(self).unwrap_or_default())
    }
}

/// The version of a cursor, its member `v`. Another one, or none, is no cursor of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u32::deserialize(from)? {
            VERSION => Ok(Self),
            other => Err(D::Error::custom(format!("version {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Place {
        v: Version,
        #[serde(default)]
        row: u64,
    }

    impl AsCursor for Place {
        const WHOSE: &'static str = "a test";
    }

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        let place = Place::parse(Some(&Cursor(text.into())));
        assert_eq!(place.ok().map(|place| place.row), expected, "{text}");
    }

    #[test]
    fn a_place_reads_back_and_a_foreign_cursor_is_refused() {
        assert_eq!(Place::parse(None).unwrap(), Place::default());
        let place = Place { v: Version, row: 7 };
        assert_eq!(place.cursor().0, r#"{"v":1,"row":7}"#);
        check(&place.cursor().0, Some(7));
        check(r#"{"v":1}"#, Some(0));
        check(r#"{"v":2,"row":7}"#, None);
        check(r#"{"row":7}"#, None);
        check(r#"{"v":1,"page":7}"#, None);
        check("", None);
        check("x", None);
    }
}
