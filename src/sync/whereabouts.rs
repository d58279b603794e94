//! Where objects are that were known and were not met: still there, living on in another one, or gone.

use std::collections::BTreeSet;

use compact_str::CompactString;

use crate::connector::Connection;
use crate::error::{Class, Failure};
use crate::model::Incoming;

/// What a tool says about objects it was asked for by id.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Whereabouts {
    /// Objects that were read: those asked for, and those that some of them live on in.
    pub(super) found: Vec<Incoming>,
    /// Asked for, and answered with another object: (survivor, asked for).
    pub(super) merged: Vec<(CompactString, CompactString)>,
    /// Not there, under no id.
    pub(super) gone: Vec<CompactString>,
}

/// Asks for objects by id. A tool that merged two objects may answer with the one that is left: another id than the one
/// asked for is a merge and no mistake.
pub(super) async fn look_for(
    connection: &dyn Connection,
    stream: &str,
    ids: &[CompactString],
) -> Result<Whereabouts, Failure> {
    let found = get(connection, stream, ids).await?;
    let there: BTreeSet<&CompactString> = found.iter().map(|object| &object.remote).collect();
    let missing: Vec<&CompactString> = ids.iter().filter(|id| !there.contains(id)).collect();
    let has_strangers = there.iter().any(|id| !ids.contains(id));
    let mut whereabouts = Whereabouts::default();
    for id in missing {
        // Which answer belongs to which question is only sure when there was one question.
        let alone = match (has_strangers, &*found, ids) {
            (false, ..) => None,
            (true, [only], [_]) => Some(only.remote.clone()),
            (true, ..) => {
                let answer = get(connection, stream, std::slice::from_ref(id)).await?;
                answer.into_iter().next().map(|object| object.remote)
            }
        };
        match alone {
            Some(survivor) if survivor != *id => whereabouts.merged.push((survivor, id.clone())),
            Some(_) => {}
            None => whereabouts.gone.push(id.clone()),
        }
    }
    whereabouts.found = found;
    Ok(whereabouts)
}

/// Objects by id. One id that the tool refuses must not hold up the others.
pub(super) async fn get(
    connection: &dyn Connection,
    stream: &str,
    ids: &[CompactString],
) -> Result<Vec<Incoming>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let is_about_ids = |failure: &Failure| matches!(failure.class, Class::Invalid | Class::Gone);
    match connection.get(stream, ids).await {
        Err(failure) if is_about_ids(&failure) && ids.len() > 1 => {}
        Err(failure) if is_about_ids(&failure) => return Ok(Vec::new()),
        answer => return answer,
    }
    let mut found = Vec::new();
    for id in ids {
        match connection.get(stream, std::slice::from_ref(id)).await {
            Err(failure) if is_about_ids(&failure) => {}
            answer => found.extend(answer?),
        }
    }
    Ok(found)
}
