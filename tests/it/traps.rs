//! The traps that vendors are known to set (part H1 of the vendor sheet), and the test of each that concerns a connector
//! Nivel ships. The list is held against the sheet's own lines and against the sources.

use std::collections::BTreeSet;
use std::path::Path;

use crate::scars::sources;

/// The sheet's lines, copied: number, tool, traps.
const SHEET: &[(u8, &str, &[&str])] = &[
    (
        1,
        "HubSpot",
        &[
            ">10,000 matches in one window",
            ">10,000 rows with the same `lastmodifieddate`",
            "index lag of 30 s",
            "429 SECONDLY without headers",
            "207 with reversed error order",
            "duplicate ids in a batch → 400 whole batch",
        ],
    ),
    (
        2,
        "HubSpot merge",
        &[
            "GET old id returns new id",
            "event arrives before/after the deletion event",
            "`newObjectId` third id",
        ],
    ),
    (
        5,
        "Pipedrive",
        &[
            "webhook deleted after 3 days",
            "403 HTML",
            "`[]` for a multi-option field → 400",
        ],
    ),
    (
        8,
        "Zendesk",
        &[
            "`updated_at` older than cursor",
            "same second boundary",
            "job stays `queued`",
            "TooManyJobs 429",
            "idempotency hit/mismatch",
            "user with e-mail only as secondary identity",
        ],
    ),
    (
        18,
        "SFTP",
        &[
            "file grows while read",
            "same name re-sent with other content",
            "BOM",
            "decimal comma",
            "row with wrong column count",
        ],
    ),
    (
        19,
        "All",
        &[
            "clock skew ±5 min on signatures",
            "duplicate and re-ordered deliveries",
            "301 to login page",
            "TLS reset after the request was sent (ambiguous write)",
        ],
    ),
];

/// Lines of the sheet about tools that no sandbox speaks for: their connectors, where there are any, are tried with canned
/// exchanges (`connectors/*/tests.yaml`).
const OTHERS: &[(u8, &str)] = &[
    (3, "Mailchimp"),
    (4, "Salesforce"),
    (6, "Dataverse"),
    (7, "Zoho"),
    (9, "Freshdesk"),
    (10, "Intercom"),
    (11, "Jira"),
    (12, "ServiceNow"),
    (13, "Help Scout"),
    (14, "Klaviyo"),
    (15, "ActiveCampaign"),
    (16, "Brevo"),
    (17, "Slack"),
];

/// What became of a trap.
enum Fate {
    /// A test that fails where it is stepped into.
    Test(&'static str),
    /// Why it cannot be stepped into.
    Never(&'static str),
}
use Fate::{Never, Test};

/// Number, trap, its test.
const TRAPS: &[(u8, &str, Fate)] = &[
    (
        1,
        ">10,000 matches in one window",
        Test("p06_a_ceiling_is_split_around"),
    ),
    (
        1,
        ">10,000 rows with the same `lastmodifieddate`",
        Test("p05_p06_more_than_ten_thousand_rows_with_one_time_stamp"),
    ),
    (
        1,
        "index lag of 30 s",
        Test("p02_p03_a_late_index_is_read_again_by_default"),
    ),
    (
        1,
        "429 SECONDLY without headers",
        Test("h1_1_a_search_that_is_asked_too_fast_says_no_more_than_that"),
    ),
    (
        1,
        "207 with reversed error order",
        Test("h1_1_rows_of_a_batch_in_another_order_reach_their_operations"),
    ),
    (
        1,
        "duplicate ids in a batch → 400 whole batch",
        Test("two_creates_of_one_person_in_one_call_make_one_object"),
    ),
    (2, "GET old id returns new id", Test("a_merge_in_a_tool_is_followed")),
    (
        2,
        "event arrives before/after the deletion event",
        Test("h1_2_a_merge_that_makes_a_third_object_is_followed_in_any_order"),
    ),
    (
        2,
        "`newObjectId` third id",
        Test("h1_2_a_merge_that_makes_a_third_object_is_followed_in_any_order"),
    ),
    (
        5,
        "webhook deleted after 3 days",
        Test("p35_a_subscription_that_the_tool_gave_up_is_made_again"),
    ),
    (5, "403 HTML", Test("h1_5_a_page_that_blocks_is_waited_out")),
    (
        5,
        "`[]` for a multi-option field → 400",
        Test("h1_5_a_list_is_emptied_with_null"),
    ),
    (
        8,
        "`updated_at` older than cursor",
        Test("h1_8_a_row_that_is_older_than_the_cursor_is_read"),
    ),
    (8, "same second boundary", Test("p04_same_second_rows")),
    (
        8,
        "job stays `queued`",
        Test("h1_8_a_job_that_stays_queued_leaves_its_writes_open_and_doubles_nothing"),
    ),
    (8, "TooManyJobs 429", Test("h1_8_too_many_jobs_means_later")),
    (
        8,
        "idempotency hit/mismatch",
        Never("the key exists for new tickets only (C1.12), and the connector writes users"),
    ),
    (
        8,
        "user with e-mail only as secondary identity",
        Test("h1_8_a_second_address_belongs_to_the_user_who_has_it"),
    ),
    (18, "file grows while read", Test("h1_18_a_growing_file_is_not_taken")),
    (
        18,
        "same name re-sent with other content",
        Test("h1_18_the_same_name_with_new_content_is_a_new_file"),
    ),
    (18, "BOM", Test("encodings_are_told_by_mark_or_content")),
    (
        18,
        "decimal comma",
        Test("h1_18_a_decimal_comma_is_told_and_not_misread"),
    ),
    (
        18,
        "row with wrong column count",
        Test("a_bad_cell_keeps_the_good_ones"),
    ),
    (
        19,
        "clock skew ±5 min on signatures",
        Test("p38_the_time_is_part_of_the_proof"),
    ),
    (
        19,
        "duplicate and re-ordered deliveries",
        Test("p34_p36_doubled_reordered_late_and_replayed_events_have_one_consequence"),
    ),
    (
        19,
        "301 to login page",
        Test("h1_19_a_redirect_to_a_login_page_is_no_answer"),
    ),
    (
        19,
        "TLS reset after the request was sent (ambiguous write)",
        Test("p18_a_lost_answer_is_ambiguous_and_trying_again_doubles_nothing"),
    ),
];

#[test]
fn every_trap_of_the_sheet_has_a_test_or_a_reason() {
    let listed = SHEET.iter().map(|(number, ..)| *number);
    let numbers: BTreeSet<u8> = listed.chain(OTHERS.iter().map(|(number, _)| *number)).collect();
    assert_eq!(numbers, (1..=19).collect(), "every line of the sheet is here");
    let wanted = SHEET
        .iter()
        .flat_map(|(number, _, traps)| traps.iter().map(move |trap| (*number, *trap)));
    let have = TRAPS.iter().map(|(number, trap, _)| (*number, *trap));
    assert_eq!(have.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
}

#[test]
fn every_trap_of_the_list_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests/it"), &mut text);
    for (number, trap, fate) in TRAPS {
        match fate {
            Test(test) => assert!(text.contains(&format!("fn {test}(")), "{number} {trap}: no test {test}"),
            Never(why) => assert!(!why.is_empty(), "{number} {trap}"),
        }
    }
}
