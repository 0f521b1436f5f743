//! Faults that other tests hold: each line names such a test, which runs by itself, and here when asked for by id.

use super::Case;
use crate::framing::downgrade;
use crate::tls_bar::leaves::many;
use crate::{audit, auth, cli, connect, drain, http1, http2, limits, origin, reload, tunnel, waf, websocket};

pub fn cases() -> Vec<Case> {
    vec![
        Case::held(
            "F01",
            "a head a byte at a time",
            limits::a_head_that_trickles_is_answered_408_when_its_time_is_up,
        ),
        Case::held("F02", "a body a byte at a time", limits::a_body_that_trickles_is_ended),
        Case::held(
            "F03",
            "32 clients that do not read",
            limits::clients_that_do_not_read_cost_their_buffers_and_no_more,
        ),
        Case::held("F05", "silence at any stage", limits::silence_at_any_stage_ends_with_its_own_limit),
        Case::held("F05", "a silent tunnel", tunnel::a_silent_tunnel_is_ended_by_its_own_time_limit),
        Case::held(
            "F06",
            "half-close in a tunnel",
            tunnel::a_tunnels_client_may_close_its_half_and_still_get_everything,
        ),
        Case::held(
            "F07",
            "an origin that breaks off",
            origin::an_answer_that_breaks_off_never_looks_complete,
        ),
        Case::held("F09", "a closed port", origin::a_closed_port_is_a_502_at_once),
        Case::held(
            "F09",
            "no second POST",
            origin::a_request_with_effects_is_sent_once_however_the_origin_fails,
        ),
        Case::held(
            "F11",
            "no such name, failure, silence",
            origin::a_name_that_cannot_be_resolved_says_whether_it_does_not_exist_or_was_not_answered,
        ),
        Case::held(
            "F12",
            "an origin that never answers",
            origin::an_origin_that_does_not_answer_in_time_is_a_504,
        ),
        Case::held(
            "F13",
            "garbage, 1 MB of head, two lengths",
            origin::an_answer_that_is_not_http_is_a_502_and_its_connection_is_not_used_again,
        ),
        Case::held(
            "F14",
            "target and head over their sizes",
            limits::heads_and_targets_have_a_size_that_is_said_when_exceeded,
        ),
        Case::held(
            "F14",
            "a body over its window",
            waf::a_body_longer_than_the_window_is_inspected_in_part_and_says_so_or_is_refused,
        ),
        Case::held(
            "F15",
            "one client wants every connection",
            limits::one_client_cannot_take_every_connection,
        ),
        Case::held(
            "F24",
            "fields of HTTP/1.1 in HTTP/2",
            http2::fields_that_belong_to_http_1_are_refused_or_left_out,
        ),
        Case::held(
            "F24",
            "a length that is not the body's",
            http2::a_body_that_is_not_as_long_as_declared_never_completes_at_the_origin,
        ),
        Case::held(
            "F24",
            "CR, LF, NUL, colons and spaces in names, values, pseudo-fields",
            downgrade::framing_of_http_2_that_would_break_http_1_1_never_reaches_an_origin,
        ),
        Case::held("F24", "Host is not :authority", http2::host_and_authority_must_agree),
        Case::held(
            "F25",
            "truncated, damaged, mislabelled, a bomb",
            waf::a_body_that_cannot_be_decoded_does_not_pass_unseen,
        ),
        Case::held(
            "F32",
            "a broken rule file, running",
            reload::a_broken_rule_file_leaves_the_old_rules_in_force_and_says_where_it_is_broken,
        ),
        Case::held(
            "F32",
            "a broken rule file, at start and check",
            cli::a_broken_rule_file_stops_check_and_start_with_file_line_column_and_the_nearest_name,
        ),
        Case::held(
            "F33",
            "reloads under load",
            reload::reloads_under_load_drop_nothing_and_every_request_sees_one_whole_set,
        ),
        Case::held("F34", "4,800 server names", many::a_flood_of_distinct_names_keeps_memory_bounded),
        Case::held(
            "F35",
            "keys missing, corrupt, of others, readable",
            cli::a_ca_that_cannot_be_trusted_stops_the_start_with_the_way_to_mend_it,
        ),
        Case::held(
            "F37",
            "a full disk",
            audit::a_full_disk_stops_no_traffic_and_loses_no_record_that_the_queue_can_hold,
        ),
        Case::held(
            "F38",
            "told to stop in an exchange",
            drain::an_exchange_under_way_is_finished_before_the_end,
        ),
        Case::held("F38", "told twice", drain::a_second_signal_ends_at_once_and_still_writes_the_records),
        Case::held("F38", "a drain that takes too long", drain::a_drain_ends_at_its_deadline),
        Case::held("F38", "SIGHUP", reload::sighup_reloads_rules_and_configuration),
        Case::held("F39", "a line torn by a crash", audit::a_line_that_a_crash_tore_does_not_spoil_the_next),
        Case::held("F39", "killed and started again", drain::a_restart_takes_over_address_and_ca_at_once),
        Case::held(
            "F40",
            "every spelling of here",
            connect::private_destinations_are_denied_in_every_spelling,
        ),
        Case::held(
            "F40",
            "names that lead inside",
            connect::a_name_that_resolves_to_a_private_address_is_denied_as_the_address_is,
        ),
        Case::held("F40", "its own listeners", connect::the_proxy_does_not_connect_to_itself),
        Case::held(
            "F41",
            "a name that rebinds",
            origin::the_address_that_was_checked_is_the_address_that_is_dialled,
        ),
        Case::held("F42", "ports that no policy lists", connect::a_port_that_policy_does_not_list_is_denied),
        Case::held("F43", "Via with its own name", connect::a_request_that_passed_here_before_is_a_loop),
        Case::held(
            "F43",
            "its own CA at the origin",
            origin::an_origin_that_shows_our_own_ca_is_a_loop_even_when_that_ca_is_trusted,
        ),
        Case::held(
            "F43",
            "redirected to its own port",
            connect::a_redirected_connection_to_the_proxys_own_port_is_not_a_loop,
        ),
        Case::held(
            "F44",
            "open to everybody",
            auth::listening_beyond_this_machine_without_knowing_the_clients_is_refused,
        ),
        Case::held(
            "F45",
            "what parsers disagree about",
            http1::what_parsers_disagree_about_is_rejected_and_never_forwarded,
        ),
        Case::held(
            "F45",
            "a request in another's body",
            http1::a_request_hidden_in_anothers_body_is_never_a_request,
        ),
        Case::held("F45", "after a framing error", http1::after_a_framing_error_the_connection_is_closed),
        Case::held(
            "F46",
            "line breaks and escapes in the log",
            audit::nothing_a_client_sends_breaks_a_line_or_reaches_a_terminal,
        ),
        Case::held("F46", "markup on the page", waf::what_an_attacker_wrote_is_text_on_the_page),
        Case::held("F47", "Connection names what must stay", http1::fields_of_one_hop_stay_on_it),
        Case::held("F48", "bytes before the 101", websocket::bytes_sent_before_the_101_wait_for_it),
        Case::held("F48", "no upgrade", websocket::an_origin_that_does_not_upgrade_gives_an_ordinary_answer),
        Case::held(
            "F48",
            "an upgrade to something else",
            websocket::an_upgrade_to_anything_else_is_not_passed_on,
        ),
        Case::held("F48", "h2c", http1::a_plain_connection_upgraded_to_h2c_is_not),
        Case::held(
            "F51",
            "secrets in everything written",
            audit::secrets_stay_out_of_everything_that_is_written,
        ),
    ]
}
