//! The figures of handoffs as a person reads them: per rule, per step of the way, per week.

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use serde::Serialize;

use super::handoffs::time_text;
use super::output::{Show, line, table};
use crate::handoff::{Cohort, Figures, Spread, Step};

/// The figures of every rule.
#[derive(Serialize)]
pub(super) struct Board {
    pub(super) rules: BTreeMap<CompactString, Figures>,
    pub(super) funnel: Vec<Step>,
    #[serde(skip)]
    pub(super) shown: Shown,
}

/// Which of the figures a person wants to see. Programs get all of them.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    Rules,
    Funnel,
    Weeks,
}

impl Show for Board {
    fn text(&self) -> String {
        match self.shown {
            _ if self.rules.is_empty() => "no customer has passed through a handoff yet\n".to_owned(),
            Shown::Rules => self.rules(),
            Shown::Funnel => self.funnel(),
            Shown::Weeks => self.weeks(),
        }
    }
}

impl Board {
    fn rules(&self) -> String {
        let head = [
            "RULE",
            "BEGUN",
            "OPEN",
            "STOPPED",
            "LATE",
            "ARRIVED",
            "TAKEN ON",
            "CANCELLED",
            "MEDIAN",
            "P95",
            "THEN",
        ];
        let row = |(rule, figures): (&CompactString, &Figures)| {
            let arrived = figures.delivered + figures.accepted;
            [
                rule.to_string(),
                figures.total.to_string(),
                figures.open.to_string(),
                figures.stopped.to_string(),
                figures.late.to_string(),
                format!("{arrived}{}", part(arrived, figures.total)),
                format!("{}{}", figures.accepted, part(figures.accepted, figures.total)),
                figures.cancelled.to_string(),
                span(figures.to_delivery, figures.to_delivery.median_ms),
                span(figures.to_delivery, figures.to_delivery.p95_ms),
                span(figures.to_acceptance, figures.to_acceptance.median_ms),
            ]
        };
        let mut text = table(head, self.rules.iter().map(row));
        text.push('\n');
        for (rule, figures) in &self.rules {
            let reasons: Vec<String> = figures
                .reasons
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            if !reasons.is_empty() {
                line(&mut text, format_args!("{rule} stopped: {}", reasons.join(", ")));
            }
            if figures.was_there > 0 {
                line(
                    &mut text,
                    format_args!(
                        "{rule}: {} were there before Nivel; no time is measured of them",
                        figures.was_there
                    ),
                );
            }
        }
        text
    }

    fn funnel(&self) -> String {
        let row = |step: &Step| {
            let kept: Vec<String> = step.kept.iter().map(|(why, count)| format!("{count} {why}")).collect();
            let of = |count: u64, all: u64| format!("{count}{}", part(count, all));
            [
                step.rule.to_string(),
                step.reached.to_string(),
                of(step.began, step.reached),
                of(step.arrived, step.began),
                of(step.taken_on, step.arrived),
                kept.join(", "),
            ]
        };
        let head = ["STEP", "CAME", "BEGAN", "ARRIVED", "TAKEN ON", "KEPT BY"];
        let mut text = table(head, self.funnel.iter().map(row));
        text.push('\n');
        for step in self.funnel.iter().filter(|step| step.besides > 0) {
            let before = step.after.join(" or ");
            line(
                &mut text,
                format_args!("{}: {} more came without {before}", step.rule, step.besides),
            );
        }
        text
    }

    fn weeks(&self) -> String {
        let of_rule = |(rule, figures): (&CompactString, &Figures)| {
            let row = |(week, cohort): (&String, &Cohort)| {
                let of = |count: u64| format!("{count}{}", part(count, cohort.opened));
                [
                    rule.to_string(),
                    week.clone(),
                    cohort.opened.to_string(),
                    of(cohort.delivered),
                    of(cohort.accepted),
                    of(cohort.late),
                ]
            };
            figures.weeks.iter().map(row).collect::<Vec<_>>()
        };
        let head = ["RULE", "WEEK", "BEGUN", "ARRIVED", "TAKEN ON", "LATE"];
        table(head, self.rules.iter().flat_map(of_rule))
    }
}

fn part(count: u64, total: u64) -> String {
    let percent = (count * 100).checked_div(total);
    percent.map_or_else(String::new, |percent| format!(" ({percent} %)"))
}

fn span(spread: Spread, ms: u64) -> String {
    if spread.count == 0 {
        "-".to_owned()
    } else {
        time_text(Duration::from_millis(ms))
    }
}
