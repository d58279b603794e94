//! What joins the records of a customer, and what keeps two records apart, in words.

use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Show, line};
use crate::identity::matcher::Explanation;
use crate::ledger::View;
use crate::merge::Rules;
use crate::model::{CustomerKey, RecordId};
use crate::sync::Act;
use crate::sync::matching::evidence::{Joint, Pair, Path, apart_from_others, path};

/// Findings that are shown of one link.
const FINDINGS: usize = 8;

/// What holds a customer together. How common a name or a number is only the one knows who knows all records: he is
/// asked when a link rests on that.
pub(super) async fn joints(context: &Context, view: &View, rules: &Rules, key: CustomerKey) -> Result<Path, Failed> {
    let hers = view.records.iter().filter(|(_, (_, home))| *home == key);
    let records: Vec<RecordId> = hers.map(|(id, _)| id.clone()).collect();
    let state = apart_from_others(view, rules);
    let alone = path(&state, view, rules, &records);
    let is_sure = alone.weakest.is_none() && alone.joints.len() + alone.along.len() + 1 >= records.len();
    if is_sure || rules.matching.is_none() {
        return Ok(alone);
    }
    context.act(Act::Why { records }).await
}

/// Bits as a chance: `93 %`.
pub(super) fn percent(bits: f64) -> String {
    let chance = 100.0 / (1.0 + (-bits).exp2());
    if (1.0..99.0).contains(&chance) {
        format!("{chance:.0} %")
    } else {
        format!("{chance:.2} %")
    }
}

/// Evidence in words, the weightiest first.
pub(super) fn findings(why: &Explanation) -> String {
    let mut text = String::new();
    for finding in why.findings.iter().take(FINDINGS) {
        line(&mut text, format_args!("  {:+5.1}  {}", finding.bits, finding.what));
    }
    let more = why.findings.len().saturating_sub(FINDINGS);
    if more > 0 {
        line(&mut text, format_args!("         … and {more} more"));
    }
    line(
        &mut text,
        format_args!("  {:+5.1}  in all: {}", why.bits, percent(why.bits)),
    );
    text
}

fn link(joint: &Joint) -> String {
    let by = match joint.bits {
        Some(bits) => format!("looks like it, {}", percent(bits)),
        None if joint.shared.is_empty() => "an operator's word, or something one of them said formerly".to_owned(),
        None => joint.shared.join(", "),
    };
    format!("{} — {}  {by}", joint.left, joint.right)
}

/// How a path reads below a customer's fields; nothing for a customer of one record.
pub(super) fn path_text(path: &Path) -> String {
    let mut text = String::new();
    if path.joints.is_empty() && path.along.is_empty() {
        return text;
    }
    line(&mut text, "joined by");
    for joint in &path.joints {
        line(&mut text, format_args!("  {}", link(joint)));
    }
    for id in &path.along {
        line(
            &mut text,
            format_args!("  {id}  goes along: it is gone, or says nothing of its own"),
        );
    }
    let weakest = path.weakest.and_then(|at| path.joints.get(at));
    if let Some(joint) = weakest {
        line(
            &mut text,
            format_args!("\nthe weakest link is {} — {}", joint.left, joint.right),
        );
        if let Some(why) = &joint.why {
            text.push_str(&findings(why));
        }
        if let Some(margin) = path.margin {
            let strongest = joint
                .why
                .as_ref()
                .and_then(|why| why.findings.iter().find(|finding| finding.bits > margin));
            let example = strongest
                .map(|finding| format!("; so would losing `{}`", finding.what))
                .unwrap_or_default();
            line(
                &mut text,
                format_args!("{margin:.1} bits more against it would break her there{example}"),
            );
        }
    }
    text
}

/// Two records that are not one customer.
#[derive(Debug, Serialize)]
pub(super) struct Apart(pub(super) Pair);

impl Show for Apart {
    fn text(&self) -> String {
        let Pair {
            left,
            right,
            decided,
            shared,
            why,
            merge,
        } = &self.0;
        let mut text = String::new();
        line(&mut text, format_args!("{left} and {right} are two customers"));
        match decided {
            Some(false) => line(&mut text, "an operator said so; `nivel customer merge` takes it back"),
            Some(true) => line(
                &mut text,
                "an operator said they are one, but something she also said keeps them apart",
            ),
            None => {}
        }
        if !shared.is_empty() {
            line(&mut text, format_args!("both have {}", shared.join(", ")));
        }
        match why {
            Some(why) => {
                line(&mut text, format_args!("\n{}", findings(why).trim_end()));
                if !why.is_found {
                    line(
                        &mut text,
                        "nothing they share is rare enough to look for the one when the other comes",
                    );
                }
            }
            None => line(
                &mut text,
                "one of them is gone, or says nothing of its own: there is nothing to compare",
            ),
        }
        match merge {
            Some(merge) => {
                let needed = format!("{:.1} %", merge * 100.0);
                line(
                    &mut text,
                    format_args!("customers are joined from {needed} on, over all their records"),
                );
            }
            None => line(&mut text, "only shared identifiers join here (`identity.match: exact`)"),
        }
        text
    }
}
