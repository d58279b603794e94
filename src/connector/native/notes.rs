//! Notes on objects and activities with a text: written, and found again by their marker.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::{Native, Stream};
use crate::connector::classify::text_of;
use crate::connector::http::not_the_answer_to;
use crate::connector::link::Purpose;
use crate::connector::render::{Draft, from_expression};
use crate::error::Failure;
use crate::manifest::{Context, Found, Notes};

impl Native {
    fn note_names(&self, remote: &str, marker: &str) -> Context {
        self.link
            .names()
            .with("id", &remote.into())
            .with("marker", &marker.into())
    }

    pub(super) async fn add_note(
        &self,
        stream: &Stream,
        remote: &str,
        (marker, text): (&str, &str),
    ) -> Result<Option<CompactString>, Failure> {
        let Notes { create, .. } = notes(stream)?;
        let names = self.note_names(remote, marker).with("text", &text.into());
        let draft = Draft::new(&create.request, &BTreeMap::new(), Some(&create.body), &names);
        let draft = draft.and_then(|draft| draft.with_headers(&create.headers, &names));
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        let purpose = Purpose {
            op: "note",
            key: Some(remote),
            is_read: false,
        };
        let good = self.link.call(&draft, purpose).await?;
        let Some(path) = &create.id else { return Ok(None) };
        let id = path.find(&good.body).value().map(|id| text_of(&id));
        // A good status is no answer by itself: whether the note is there must be looked up.
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| Failure {
            ambiguous: true,
            ..not_the_answer_to("a note", &format!("has no `{path}`"))
        })?;
        Ok(Some(id.into()))
    }

    /// The note with this marker; `None` when there is none, or the manifest knows no way to find it.
    pub(super) async fn look_for_note(
        &self,
        stream: &Stream,
        remote: &str,
        marker: &str,
    ) -> Result<Option<CompactString>, Failure> {
        let Some(find) = &notes(stream)?.find else {
            return Ok(None);
        };
        let draft = Draft::new(&find.request, &find.query, None, &self.note_names(remote, marker));
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        let good = self.link.call(&draft, Purpose::read("find")).await?;
        if find.records.find(&good.body) == Found::Absent {
            return Err(not_the_answer_to("the notes", &format!("has no `{}`", find.records)));
        }
        let rows = find.records.rows(&good.body);
        let said = |row: &serde_json::Value| {
            find.text
                .find(row)
                .value()
                .map(|text| text_of(&text))
                .unwrap_or_default()
        };
        let found = rows.iter().find(|row| said(row).contains(marker));
        let id = found.map(|row| find.id.find(row).value().map(|id| text_of(&id)).unwrap_or_default());
        Ok(id.map(CompactString::from))
    }
}

fn notes(stream: &Stream) -> Result<&Notes, Failure> {
    stream
        .object
        .texts()
        .ok_or_else(|| stream.cannot("write notes on these objects"))
}
