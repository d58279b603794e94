//! Each way in which peers lose, double or loop data, and the test here that would notice. A test bears the number of its
//! scar; this list is held against the sources.

use std::collections::BTreeSet;
use std::path::Path;

/// Number → tests. Grows with every issue; a number never leaves it.
const SCARS: &[(u16, &[&str])] = &[
    (1, &["p01_p11_a_row_edited_while_the_stream_is_read_is_read_again"]),
    (2, &["p02_p03_a_late_index_is_read_again_by_default"]),
    (3, &["p02_p03_a_late_index_is_read_again_by_default"]),
    (4, &["p04_same_second_rows"]),
    (5, &["p05_p06_more_than_ten_thousand_rows_with_one_time_stamp"]),
    (6, &["p05_p06_more_than_ten_thousand_rows_with_one_time_stamp"]),
    (
        7,
        &["p07_a_cursor_that_does_not_advance_is_an_error_and_no_endless_loop"],
    ),
    (8, &["p08_the_state_is_the_tools_time_and_not_ours"]),
    (9, &["p09_a_ceiling_of_pages_is_split_around"]),
    (11, &["p01_p11_a_row_edited_while_the_stream_is_read_is_read_again"]),
    (12, &["p12_what_makes_an_event_unique_is_more_than_its_object"]),
    (
        13,
        &[
            "p13_each_row_of_a_batch_stands_for_itself",
            "p13_an_error_inside_a_200_is_no_success",
        ],
    ),
    (
        14,
        &[
            "p14_a_run_that_fails_leaves_its_state_and_a_new_stream_gets_one_of_its_own",
            "p14_an_empty_state_never_replaces_one_that_is_there",
            "p14_a_tap_that_lies_about_its_state_loses_nothing",
        ],
    ),
    (
        15,
        &["p15_a_deal_that_is_joined_to_somebody_else_without_a_change_is_seen_by_a_sweep"],
    ),
    (16, &["p16_a_changed_email_makes_no_second_person"]),
    (
        17,
        &[
            "p17_a_new_setup_writes_nothing_until_it_was_approved",
            "p17_a_mass_of_new_objects_is_held_and_everything_else_goes_on",
        ],
    ),
    (
        18,
        &[
            "p18_a_made_object_is_in_the_crosswalk_with_its_acknowledgement",
            "p18_a_create_whose_answer_is_lost_is_looked_up_before_it_is_repeated",
            "p18_a_program_that_dies_between_a_change_and_its_answer_doubles_nobody",
        ],
    ),
    (19, &["p19_two_imports_of_one_object_at_once_make_one_customer"]),
    (
        20,
        &[
            "p20_what_is_there_is_adopted_and_one_event_comes_once",
            "p20_subscriptions_are_listed_adopted_made_and_ours_removed",
        ],
    ),
    (
        21,
        &[
            "p21_an_object_that_was_never_read_is_not_overwritten_by_a_create",
            "p21_somebody_who_was_never_read_is_found_and_not_made",
        ],
    ),
    (22, &["p22_nothing_is_made_where_nobody_wants_it"]),
    (
        23,
        &[
            "p23_a_value_we_wrote_is_no_change_even_when_the_time_moved",
            "p23_what_we_wrote_and_see_again_is_no_change",
        ],
    ),
    (
        24,
        &[
            "p24_an_echo_of_ours_never_outranks_the_one_who_said_it",
            "p24_what_was_sent_and_not_answered_never_comes_back_as_the_tools_word",
        ],
    ),
    (25, &["p25_only_the_field_that_differs_from_what_we_wrote_counts"]),
    (26, &["p26_an_echo_is_suppressed_by_field_not_by_record"]),
    (
        27,
        &[
            "p27_a_placeholder_never_comes_back_as_data",
            "p27_what_a_tool_fills_in_by_itself_is_no_data",
        ],
    ),
    (
        28,
        &[
            "p28_headers_correct_the_declared_figure",
            "p28_p30_every_style_of_headers_is_read",
        ],
    ),
    (
        29,
        &[
            "p29_a_used_up_quota_parks_and_says_when_it_goes_on",
            "p29_a_days_quota_survives_a_restart",
            "p29_a_used_up_day_parks_the_stream_and_keeps_its_cursor",
        ],
    ),
    (
        30,
        &[
            "p28_p30_every_style_of_headers_is_read",
            "p30_a_budget_stops_softly_before_the_accounts_own_and_a_restart_does_not_forget_it",
        ],
    ),
    (
        31,
        &[
            "p31_processes_that_share_a_redis_share_its_budget",
            "p31_a_flushed_redis_grants_no_second_burst",
            "p31_two_limiters_keep_one_pace_and_a_dead_redis_halves_it",
        ],
    ),
    (32, &["p32_urgent_calls_go_first_and_retries_do_not_starve_them"]),
    (33, &["p33_every_connector_that_throttles_has_a_scripted_429"]),
    (
        34,
        &[
            "p34_p36_doubled_reordered_late_and_replayed_events_have_one_consequence",
            "p34_what_was_answered_2xx_is_there_whenever_the_process_dies",
            "p34_an_answer_before_the_disk_is_found",
            "p34_events_that_wait_are_folded_once_whenever_the_process_dies",
            "p34_a_full_disk_is_503_and_never_2xx",
            "p34_overload_is_503_at_once",
        ],
    ),
    (
        35,
        &[
            "p35_one_that_died_or_ends_soon_is_put_right",
            "p35_a_subscription_that_the_tool_gave_up_is_made_again",
            "p35_a_webhook_that_is_silent_for_many_times_its_usual_gap_is_noticed",
        ],
    ),
    (
        36,
        &[
            "p36_an_older_version_is_ignored_and_a_tie_goes_to_the_last_fetched",
            "p34_p36_doubled_reordered_late_and_replayed_events_have_one_consequence",
            "p36_an_event_is_a_hint_and_the_tool_is_asked",
        ],
    ),
    (37, &["p37_in_one_second_the_object_itself_is_asked"]),
    (
        38,
        &[
            "p38_every_vector_of_every_vendor",
            "p38_a_secret_that_is_missing_refuses_everything",
            "p38_there_is_no_falling_back_to_a_weaker_way",
            "p38_the_time_is_part_of_the_proof",
            "p38_the_address_comes_from_the_config_alone",
            "p38_a_wrong_or_old_signature_is_401_without_a_word_and_leaves_nothing",
        ],
    ),
    (39, &["p39_the_deleted_speak_only_when_nobody_else_does"]),
    (
        40,
        &["p40_one_number_makes_no_one_customer_and_a_wrong_merge_is_undone_in_every_tool"],
    ),
    (
        41,
        &[
            "p41_a_split_gives_back_keys_and_values_and_is_never_undone_by_the_match",
            "p41_what_a_person_said_outranks_the_tool",
        ],
    ),
    (
        42,
        &[
            "p42_a_change_of_an_object_that_was_merged_goes_to_the_one_that_is_left",
            "p42_an_object_that_is_gone_is_looked_for_by_what_identifies_it",
            "p42_what_is_found_under_no_id_is_gone_and_not_made_anew",
            "p42_a_tool_that_says_gone_of_what_is_there_is_not_believed",
            "p42_p43_a_sweep_that_misses_a_merged_object_follows_it",
        ],
    ),
    (
        43,
        &[
            "p42_p43_a_pointer_in_the_one_that_is_left_is_followed",
            "p43_p44_a_pointer_in_the_one_that_is_gone_is_followed",
            "p43_p51_what_comes_back_in_quarantine_is_alive_again",
        ],
    ),
    (
        44,
        &[
            "p44_a_bridge_that_goes_takes_the_merge_with_it",
            "p42_p44_a_record_says_who_it_lives_on_in",
            "p43_p44_a_pointer_in_the_one_that_is_gone_is_followed",
            "p44_a_lead_that_is_converted_lives_on_in_another_stream",
        ],
    ),
    (
        45,
        &[
            "p45_a_new_field_in_a_tool_resets_nothing_and_writes_nothing",
            "p45_a_field_that_always_stood_there_and_stands_nowhere_vanished",
        ],
    ),
    (
        46,
        &[
            "p46_p51_a_list_that_shrank_is_not_believed",
            "p46_p51_a_list_that_shrank_deletes_nothing_until_somebody_looked",
        ],
    ),
    (
        47,
        &["p47_custom_fields_are_shown_by_their_labels_with_what_they_are_mapped_to"],
    ),
    (48, &["p48_absent_empty_and_value_are_three_things"]),
    (
        49,
        &[
            "p49_a_choice_that_a_custom_field_does_not_have_is_refused_before_the_call",
            "p49_a_field_that_did_not_stick_is_told_with_what_stands_there",
            "p49_a_field_that_the_tool_drops_is_frozen_and_told_and_its_old_value_is_no_news",
        ],
    ),
    (
        50,
        &[
            "p50_p51_what_a_whole_sweep_does_not_meet_is_deleted_and_a_broken_one_deletes_nothing",
            "p50_p51_a_deletion_is_passed_on_after_its_quarantine",
            "p50_a_deletion_in_any_tool_is_found_by_asking",
        ],
    ),
    (
        51,
        &[
            "p51_only_what_a_whole_sweep_did_not_meet_is_absent",
            "p51_a_sweep_that_was_begun_anew_is_another_one",
            "p51_a_sweep_with_rows_that_cannot_be_told_apart_proves_nothing",
            "p51_what_a_sweep_misses_and_is_there_is_alive",
            "p51_no_live_record_is_ever_taken_for_deleted",
            "p51_who_came_back_unheard_is_seen_by_the_last_look",
        ],
    ),
    (
        52,
        &[
            "p52_only_who_knew_her_of_their_own_can_delete_her",
            "p52_what_nivel_made_stays_known_as_such",
            "p52_only_what_nivel_made_is_removed_unless_the_tool_is_its_own",
            "p52_what_somebody_has_worked_on_since_stays",
            "p52_who_begins_to_work_on_it_is_seen_by_the_look_before_the_removal",
        ],
    ),
    (
        53,
        &[
            "p53_what_cannot_be_taken_back_needs_to_be_allowed",
            "p53_a_refusal_in_one_tool_is_told_to_the_others_by_their_own_calls",
            "p53_a_mass_of_refusals_is_held_until_somebody_said_yes",
            "p53_notes_stay_away_from_marketing_and_denials_need_a_yes",
            "p53_a_note_for_marketing_is_silent_about_support_until_a_line_says_so",
            "p51_p53_a_mass_of_removals_is_held_and_everything_else_goes_on",
        ],
    ),
    (58, &["p58_no_verb_changes_the_admins_files"]),
    (
        59,
        &[
            "p59_what_was_sealed_opens_with_its_key_and_no_other",
            "p59_keys_are_rotated_and_never_made_anew_over_old_tokens",
        ],
    ),
    (
        60,
        &[
            "p60_flushed_or_killed_changes_nothing_but_speed",
            "p60_a_redis_that_drops_keys_is_reported",
        ],
    ),
    (61, &["p61_a_failure_says_what_where_who_acts_and_where_to_read_on"]),
    (62, &["p62_a_due_run_that_did_not_start_is_told"]),
    (63, &["p63_a_value_of_another_type_is_parked_alone_and_heals_by_itself"]),
    (64, &["p64_a_connector_is_two_files_and_tried_without_a_platform"]),
    (
        66,
        &[
            "p66_many_refused_requests_cause_one_refresh",
            "p66_a_failed_refresh_never_deletes_the_grant",
            "p66_a_token_is_changed_only_on_top_of_the_version_that_was_seen",
            "p66_one_at_a_time_renews_a_token",
            "p66_a_setting_that_a_tap_changes_is_sealed_and_used_next_time",
            "p66_a_new_token_is_durable_before_the_program_uses_it",
            "p66_a_renewal_killed_anywhere_loses_the_grant_only_between_the_tool_and_the_disk",
        ],
    ),
    (
        67,
        &[
            "p67_the_address_says_who_asks_for_what_and_where_to",
            "p67_a_person_signs_in_by_browser_or_by_paste",
        ],
    ),
];

/// Number → why no test can be red on it here.
const REASONS: &[(u16, &str)] = &[
    (
        10,
        "no count of the tool is compared at the end of a reading: the totals that lists tell count rows, too, that rights hide from the \
         account, so a difference proves nothing. A total that moves begins the list again (`guard: total`), what \
         incremental reading misses comes with the next sweep, and a declared ceiling is split around (9)",
    ),
    (
        65,
        "there are no jobs to launch: a connector is data that the process itself runs (64 tries one); only a program (GUESTS.md) is \
         started, once for each reading",
    ),
];

/// What is still owed; empty once it is here.
const OWED: &[u16] = &[];

/// The scars that the issue about change capture and write-back wants closed.
fn wanted() -> impl Iterator<Item = u16> {
    (1..=38).chain(45..=53).chain(58..=67)
}

#[test]
fn every_wanted_scar_has_a_test_or_a_reason() {
    let tested: BTreeSet<u16> = SCARS.iter().map(|(number, _)| *number).collect();
    let reasoned: BTreeSet<u16> = REASONS.iter().map(|(number, _)| *number).collect();
    let both: Vec<_> = tested.intersection(&reasoned).collect();
    assert!(both.is_empty(), "a test and a reason: {both:?}");
    let missing: Vec<u16> = wanted()
        .filter(|number| !tested.contains(number) && !reasoned.contains(number))
        .filter(|number| !OWED.contains(number))
        .collect();
    assert!(missing.is_empty(), "neither a test nor a reason: {missing:?}");
    let paid: Vec<_> = OWED.iter().filter(|number| tested.contains(*number)).collect();
    assert!(paid.is_empty(), "take off the list what is not owed any more: {paid:?}");
    assert!(SCARS.iter().all(|(_, tests)| !tests.is_empty()));
}

pub(crate) fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_scar_of_the_list_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests/it"), &mut text);
    let missing: Vec<_> = SCARS
        .iter()
        .flat_map(|(number, tests)| tests.iter().map(move |test| (number, test)))
        .filter(|(_, test)| !text.contains(&format!("fn {test}(")))
        .collect();
    assert!(missing.is_empty(), "scars without their test: {missing:?}");
    assert!(SCARS.is_sorted_by_key(|(number, _)| *number));
}
