//! Rows that share one time over the edge of a page: all of them are read.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::Runner;
use crate::manifest::Object;
use crate::manifest::tests::{Case, Exchange};

/// Every list of the tests whose rows stand on both sides of an edge, read once more with one time in all rows. There must be
/// one: a reading that never met an edge proves nothing about edges.
pub(super) async fn check(runner: &Runner<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut edges = 0;
    for case in &runner.suite.tests {
        let Some(object) = object_of(runner, case).filter(|object| pages_with_rows(object, case) > 1) else {
            continue;
        };
        edges += 1;
        problems.extend(check_case(runner, object, case).await);
    }
    if edges == 0 {
        problems.push("no test reads a list over the edge of a page".to_owned());
    }
    problems
}

fn object_of<'a>(runner: &'a Runner<'_>, case: &Case) -> Option<&'a Object> {
    let read = case.read.as_ref().filter(|_| case.expect.failure.is_none())?;
    runner.manifest.objects.get(&read.object)
}

fn pages_with_rows(object: &Object, case: &Case) -> usize {
    let Some(read) = &object.read else { return 0 };
    let answers = case.http.iter().filter_map(|exchange| exchange.response.body.as_ref());
    answers.filter(|body| !read.records.rows(body).is_empty()).count()
}

async fn check_case(runner: &Runner<'_>, object: &Object, case: &Case) -> Vec<String> {
    let read = match runner.run(case, case.http.clone()).await {
        Ok(ran) => ran.came.records,
        Err(problem) => return vec![problem],
    };
    let tied = match runner.run(case, tied(object, case)).await {
        Ok(ran) => ran,
        Err(problem) => return vec![problem],
    };
    let ids = |records: &[crate::model::Incoming]| -> Vec<String> {
        records.iter().map(|record| record.remote.to_string()).collect()
    };
    let times: BTreeSet<_> = tied.came.records.iter().map(|record| record.updated_at).collect();
    let mut problems = tied.wrong.clone();
    problems.extend(tied.came.failure.iter().map(|failure| format!("failed: {failure}")));
    if times.len() > 1 {
        problems.push(format!("`{}`: {} times in rows that have one", case.name, times.len()));
    }
    let (wanted, found) = (ids(&read), ids(&tied.came.records));
    if wanted != found {
        problems.push(format!("`{}`: read {found:?}, not {wanted:?}", case.name));
    }
    problems
}

/// The exchanges with the time of the first row in every row.
fn tied(object: &Object, case: &Case) -> Vec<Exchange> {
    let mut http = case.http.clone();
    let (Some(read), Some(modified)) = (&object.read, &object.modified) else {
        return http;
    };
    let rows = http.iter().filter_map(|exchange| exchange.response.body.as_ref());
    let rows: Vec<Json> = rows
        .flat_map(|body| read.records.rows(body))
        .map(|row| row.into_owned())
        .collect();
    for at in &modified.at.0 {
        let Some(time) = rows
            .iter()
            .find_map(|row| at.find(row).value())
            .map(|time| time.into_owned())
        else {
            continue;
        };
        let names: Vec<&str> = read.records.names();
        for body in http.iter_mut().filter_map(|exchange| exchange.response.body.as_mut()) {
            let list = names.iter().try_fold(body, |place, name| place.get_mut(*name));
            for row in list.and_then(Json::as_array_mut).into_iter().flatten() {
                at.put(row, Some(time.clone()), &Json::Null);
            }
        }
    }
    http
}
