//! One moving line per stream while something long goes on, when a person watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::Output;
use crate::model::StreamId;
use crate::sync::{Event, Progress, Silent};

const TICK: Duration = Duration::from_millis(120);

/// Moving lines on a terminal, silence anywhere else.
pub(super) fn watch(output: Output) -> Arc<dyn Progress> {
    if output.is_watched() {
        Arc::new(Bars::default())
    } else {
        Arc::new(Silent)
    }
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    lines: Mutex<BTreeMap<StreamId, Line>>,
    folding: Mutex<Option<ProgressBar>>,
}

struct Line {
    bar: ProgressBar,
    counts: Counts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    read: u64,
    changed: u64,
    rejected: u64,
    written: u64,
    dead: u64,
    stopped: Option<String>,
}

impl Counts {
    fn add(&mut self, event: &Event) {
        match event {
            Event::Read {
                records,
                changed,
                rejected,
                ..
            } => {
                self.read += records;
                self.changed += changed;
                self.rejected += rejected;
            }
            Event::Wrote { done, dead, .. } => {
                self.written += done;
                self.dead += dead;
            }
            Event::Stopped { why, .. } => self.stopped = Some(why.clone()),
            Event::Folded { .. } => {}
        }
    }

    fn text(&self) -> String {
        let mut parts = vec![format!("{} read", self.read), format!("{} changed", self.changed)];
        for (number, word) in [
            (self.written, "written"),
            (self.rejected, "rejected"),
            (self.dead, "dead"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {word}"));
            }
        }
        parts.extend(self.stopped.as_ref().map(|why| format!("stopped: {why}")));
        parts.join(" · ")
    }
}

impl Progress for Bars {
    fn on(&self, event: &Event) {
        let stream = match event {
            Event::Read { stream, .. } | Event::Wrote { stream, .. } | Event::Stopped { stream, .. } => stream,
            Event::Folded { done, total } => return self.on_folded(*done, *total),
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(stream.clone()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:24} {msg}  {elapsed}") {
                bar.set_style(style);
            }
            bar.set_prefix(stream.to_string());
            bar.enable_steady_tick(TICK);
            Line {
                bar,
                counts: Counts::default(),
            }
        });
        line.counts.add(event);
        line.bar.set_message(line.counts.text());
    }
}

impl Bars {
    /// The first reading is long: who waits for it sees how far it is.
    fn on_folded(&self, done: u64, total: u64) {
        let mut slot = self.folding.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = slot.get_or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(total));
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} who is who               {pos} of {len}  {eta} left")
            {
                bar.set_style(style);
            }
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
        if done >= total
            && let Some(bar) = slot.take()
        {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for line in self.lines.lock().unwrap_or_else(PoisonError::into_inner).values() {
            line.bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_name_only_what_happened() {
        let stream = StreamId::new("crm", "person");
        let mut counts = Counts::default();
        for _ in 0..2 {
            counts.add(&Event::Read {
                stream: stream.clone(),
                records: 100,
                changed: 7,
                rejected: 0,
            });
        }
        assert_eq!(counts.text(), "200 read · 14 changed");
        counts.add(&Event::Wrote {
            stream: stream.clone(),
            done: 3,
            created: 1,
            dead: 1,
        });
        counts.add(&Event::Stopped {
            stream,
            why: "quota".to_owned(),
        });
        assert_eq!(
            counts.text(),
            "200 read · 14 changed · 3 written · 1 dead · stopped: quota"
        );
    }
}
