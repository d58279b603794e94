//! A few objects of a stream, raw and mapped. Reads and writes nothing else.

use serde_json::Value as Json;

use super::{Native, Place, Stream};
use crate::connector::Sample;
use crate::connector::cursor::AsCursor as _;
use crate::error::Failure;
use crate::model::Incoming;

/// How many pages are looked at: the first ones may be empty.
const PAGES_MAX: usize = 25;

impl Native {
    /// The first objects of a stream, at most so many.
    pub(super) async fn first_of(&self, stream: &Stream, limit: usize) -> Result<Vec<Sample>, Failure> {
        let mut place = Place::parse(None)?;
        let mut samples = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut rows = Vec::new();
            let page = self.page(stream, place, Some(&mut rows)).await?;
            let left = limit - samples.len();
            samples.extend(
                page.records
                    .into_iter()
                    .take(left)
                    .map(|record| sample(stream, &rows, record)),
            );
            if page.is_caught_up || samples.len() >= limit {
                break;
            }
            place = Place::parse(Some(&page.next))?;
        }
        Ok(samples)
    }
}

fn sample(stream: &Stream, rows: &[Json], record: Incoming) -> Sample {
    let mapper = &stream.mapper;
    let (_, own) = stream.own_id(&record.remote);
    let row = rows.iter().find(|row| mapper.id_in(row).as_deref() == Some(own));
    Sample {
        raw: row.map(|row| mapper.raw_in(row)).unwrap_or_default(),
        record,
    }
}
