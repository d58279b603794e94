//! How many calls a number of writes takes. Pure.

use serde_json::json;

use super::{Native, Stream};
use crate::connector::effort::Effort;
use crate::manifest::{Op, Request};

impl Native {
    /// What it costs to make and change so many objects of a stream.
    pub(super) fn effort_of(&self, stream: &Stream, creates: u64, updates: u64) -> Effort {
        let (Some(write), Some(spec)) = (&stream.object.write, self.specs.get(&stream.name)) else {
            return Effort::default();
        };
        let mut calls: Vec<(&str, String, u64)> = Vec::new();
        let mut call = |op, request: &Request, count| calls.push((op, self.path_like(request), count));
        let get = stream.object.get.as_ref();
        let gets = |objects: u64| get.map_or(0, |get| in_calls(objects, get.max));
        if let Some(get) = get {
            let before = if spec.reads_before { gets(updates) } else { 0 };
            let after = if spec.reads_back { gets(creates + updates) } else { 0 };
            call("get", &get.request, before + after);
        }
        let is_guarded = spec.match_by.iter().all(|by| stream.is_refused_twice(write, by));
        for by in spec.match_by.iter().filter(|_| !is_guarded) {
            if let Some(find) = stream.find_by(by) {
                call("find", &find.request, creates);
            }
        }
        // Of several ways the last has no condition: the dearest guess.
        let make = write.create.last().or_else(|| write.upsert.last());
        let ways = [("create", make, creates), ("update", write.update.last(), updates)];
        for (word, op, count) in ways {
            let Some(op): Option<&Op> = op else { continue };
            let requests = in_calls(count, op.max);
            call(word, &op.request, requests);
            if let Some(job) = &op.job {
                call("job", &job.poll, requests);
            }
        }
        Effort::of(&calls, self.link.rules())
    }

    /// A path like the ones the request will have.
    fn path_like(&self, request: &Request) -> String {
        let mut names = self.link.names();
        for name in ["id", "key", "value"] {
            names.set(name, &json!("1"));
        }
        names.set("job", &json!({"id": "1"}));
        request.path.render_url(&names).unwrap_or_default()
    }
}

fn in_calls(objects: u64, max: usize) -> u64 {
    objects.div_ceil(max.max(1) as u64)
}
