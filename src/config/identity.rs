//! How customers are told apart: `identity:`.

use super::IdentityConfig;
use super::read::field_names;
use super::reader::Section;
use crate::merge::MatchRules;

pub(super) const IDENTITY: &[&str] = &["external_ids", "match", "merge", "review", "overwrite", "size_max"];

/// What is done about records that share no identifier.
const MATCH: &[(&str, bool)] = &[("exact", false), ("scored", true)];

pub(super) fn identity(section: &Section<'_>) -> IdentityConfig {
    let usual = MatchRules::default();
    let merge = chance(section, "merge").unwrap_or(usual.merge);
    let rules = MatchRules {
        merge,
        review: chance(section, "review").unwrap_or_else(|| usual.review.min(merge)),
        overwrite: chance(section, "overwrite").unwrap_or_else(|| usual.overwrite.max(merge)),
    };
    if rules.review > rules.merge {
        section.wrong("review", "`review` is above `merge`: nobody would ever be asked", "");
    }
    if rules.overwrite < rules.merge {
        section.wrong(
            "overwrite",
            "`overwrite` is below `merge`: what is too unsure to be joined would be overwritten",
            "",
        );
    }
    let is_scored = section.word("match", MATCH).unwrap_or(false);
    IdentityConfig {
        external_ids: field_names(section, "external_ids").unwrap_or_default(),
        matching: is_scored.then_some(rules),
        size_max: section.parse("size_max", "a number from 2 to 10000", |text| {
            text.parse().ok().filter(|size| (2..=10_000).contains(size))
        }),
    }
}

/// A chance in thousandths.
fn chance(section: &Section<'_>, key: &str) -> Option<u16> {
    section.parse(key, "a chance between 0.5 and 0.999, such as 0.9", |text| {
        let chance: f64 = text.parse().ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 500 and 999"
        )]
        (0.5..=0.999)
            .contains(&chance)
            .then(|| (chance * 1000.0).round() as u16)
    })
}
