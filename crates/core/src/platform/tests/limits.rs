//! What limits count, and how they say no.

use super::*;

fn with_refusal(on: &str, refusal: &str) -> String {
    format!(
        "limits:
  - name: one
    on: {on}
    law: {{fixed-window: {{quota: 1, window: 10s, anchor: first-request}}}}
    refusal: {refusal}
    source: {{label: fiction, from: a test}}
"
    )
}

#[test]
fn an_upgrade_is_refused_in_every_shape() {
    let open_two = "0 1 open /bot\n1 2 open /bot\n2 2 say#1 hello\n3 2 end\n11 3 open /bot";
    for (refusal, expect) in [
        (
            "{http: {status: 503}}",
            "1 2 refuse 503 x-plimsoll-limit=one",
        ),
        (
            "in-band",
            "1 2 accept\n1 2 < refused one 9\n2 2 < refused#1 one 8",
        ),
        (
            "{close: {code: 1013, reason: 'wait {{ retry_after }} s, {{ limit }}'}}",
            "1 2 accept\n1 2 close 1013 wait 9 s, one",
        ),
        ("reset", "1 2 reset"),
        ("fin", "1 2 fin"),
        ("silence", "1 2 stall"),
    ] {
        check(
            &with_refusal("upgrade", refusal),
            open_two,
            &format!("0 1 accept\n{expect}\n11 3 accept"),
        );
    }
}

#[test]
fn what_is_sent_is_refused_in_every_shape() {
    let talk = "0 1 open /bot\n1 1 say a\n2 1 say#2 b\n11 1 say c";
    for on in ["message", "frame", "byte"] {
        for (refusal, expect) in [
            ("in-band", "2 1 < refused#2 one 9\n11.4 1 < reply re c"),
            ("silence", "11.4 1 < reply re c"),
            (
                "{close: {code: 4029, reason: too fast}}",
                "2 1 close 4029 too fast",
            ),
            ("reset", "2 1 reset"),
            ("fin", "2 1 fin"),
        ] {
            let mut profile = with_refusal(on, refusal);
            if on == "byte" {
                // As many as the longest message has.
                profile = profile.replace("quota: 1", "quota: 7");
            }
            check(
                &profile,
                talk,
                &format!("0 1 accept\n1.4 1 < reply re a\n{expect}"),
            );
        }
    }
}

#[test]
fn a_message_costs_its_bytes() {
    let bytes = "limits:
  - name: volume
    on: byte
    law: {token-bucket: {quota: 1, window: 1s, burst: 10}}
    refusal: in-band
    source: {label: fiction, from: a test}
";
    // Of 10 bytes 7 go; then 5 do not fit until two have come back. What is bigger than the bucket never fits.
    check(
        bytes,
        "0 1 open /bot\n1 1 say 123\n1 1 say a\n3 1 say b\n20 1 say 1234567",
        "0 1 accept
         1 1 < refused volume 2
         1.4 1 < reply re 123
         3.4 1 < reply re b
         20 1 < refused volume 0",
    );
}

/// Two frames in 10 s, on each connection.
fn two_frames(on: &str) -> String {
    with_refusal(on, "in-band").replace("quota: 1", "quota: 2")
}

#[test]
fn a_message_costs_its_frames_and_a_control_frame_is_one() {
    check(
        &two_frames("frame"),
        "0 1 open /bot\n1 1 fragment\n1 1 say a\n2 1 say b\n11 1 ping\n12 1 say c\n13 1 ping",
        "0 1 accept
         1.4 1 < reply re a
         2 1 < refused one 9
         12.4 1 < reply re c
         13 1 < refused one 8",
    );
    // In three frames it never fits, and is refused once.
    check(
        &two_frames("frame"),
        "0 1 open /bot\n1 1 fragment\n1 1 fragment\n1 1 say a\n2 1 say b",
        "0 1 accept\n1 1 < refused one 0\n2.4 1 < reply re b",
    );
    // Neither is a message of its own.
    check(
        &two_frames("message"),
        "0 1 open /bot\n1 1 fragment\n1 1 ping\n1 1 say a\n2 1 say b\n3 1 say c",
        "0 1 accept\n1.4 1 < reply re a\n2.4 1 < reply re b\n3 1 < refused one 8",
    );
}

#[test]
fn an_upgrade_that_is_let_in_is_told_what_its_limit_announces() {
    let announces = "key: [token]
    announces: {X-RateLimit-Limit: '{{ quota }}', X-RateLimit-Remaining: '{{ remaining }}', X-RateLimit-Reset: '{{ reset }}'}
    refusal:";
    let profile = two_frames("upgrade").replace("refusal:", announces);
    let told = |remaining: u32, reset: u32| {
        format!(
            "accept x-ratelimit-limit=2 x-ratelimit-remaining={remaining} x-ratelimit-reset={reset}"
        )
    };
    check(
        &profile,
        "0 1 open /bot token=a\n4 2 open /bot token=a\n5 3 open /bot token=b\n12 4 open /bot token=a",
        &format!(
            "0 1 {}\n4 2 {}\n5 3 {}\n12 4 {}",
            told(1, 10),
            told(0, 6),
            told(1, 10),
            told(1, 10)
        ),
    );
}

#[test]
fn the_use_of_limits_on_messages_is_known() {
    let mut platform = Platform::new(Arc::new(profile_of(&two_frames("frame"))), 1, WALL);
    for conn in [1, 2] {
        platform.upgrade(At::ZERO, ConnId(conn), &request_of("/bot"));
    }
    for at in [1, 2, 3, 20] {
        platform.frame(At::from_secs(at), ConnId(1), Incoming::Text("say a"));
    }
    platform.frame(At::from_secs(20), ConnId(2), Incoming::Text("say a"));
    let usage = &platform.usage()[0];
    assert_eq!((usage.peak, usage.peak_at), (2, At::from_secs(2)));
    assert_eq!(usage.refused, 1);
}

#[test]
fn connections_may_share_a_count_of_messages() {
    check(
        &with_refusal("message", "in-band").replace("refusal:", "key: [token]\n    refusal:"),
        "0 1 open /bot token=a\n0 2 open /bot token=a\n0 3 open /bot token=b\n1 1 say a\n2 2 say b\n3 3 say c",
        "0 1 accept\n0 2 accept\n0 3 accept\n1.4 1 < reply re a\n2 2 < refused one 9\n3.4 3 < reply re c",
    );
}

#[test]
fn all_connections_may_share_a_count_of_messages() {
    check(
        &with_refusal("message", "in-band").replace("refusal:", "key: [global]\n    refusal:"),
        "0 1 open /bot token=a\n0 2 open /bot token=b\n1 1 say a\n2 2 say b\n11 2 say c",
        "0 1 accept\n0 2 accept\n1.4 1 < reply re a\n2 2 < refused one 9\n11.4 2 < reply re c",
    );
}

/// Two at once under one key, one under another.
#[test]
fn each_key_counts_apart_what_it_names() {
    let check_key = |key: &str, first: &str, other: &str| {
        check(
            &with_refusal("upgrade", "fin")
                .replace("refusal:", &format!("key: [{key}]\n    refusal:")),
            &format!("0 1 open {first}\n1 2 open {first}\n2 3 open {other}"),
            "0 1 accept\n1 2 fin\n2 3 accept",
        );
    };
    check_key("token", "/bot token=a", "/bot token=b");
    check_key("deployment", "/bot?deploymentId=a", "/bot?deploymentId=b");
    check_key("user", "/bot?user=a", "/bot?user=b");
    check_key("address", "/bot addr=10.0.0.1", "/bot addr=10.0.0.2");
    check_key("user, token", "/bot?user=a token=a", "/bot?user=a token=b");
    check(
        &format!(
            "endpoints: [{{name: any, path: /*, dialect: text}}]\n{}",
            with_refusal("upgrade", "fin").replace("refusal:", "key: [path]\n    refusal:")
        ),
        "0 1 open /a?x=1\n1 2 open /a?x=2\n2 3 open /b",
        "0 1 accept\n1 2 fin\n2 3 accept",
    );
    check(
        &with_refusal("upgrade", "fin").replace("refusal:", "key: [global]\n    refusal:"),
        "0 1 open /bot token=a\n1 2 open /bot token=b",
        "0 1 accept\n1 2 fin",
    );
}

#[test]
fn requests_and_upgrades_share_a_limit_on_requests() {
    for (refusal, expect) in [
        (
            "{http: {status: 429, headers: {Retry-After: '{{ retry_after }}'}}}",
            Some(429),
        ),
        ("reset", None),
    ] {
        let profile = with_refusal("request", refusal);
        let mut platform = Platform::new(Arc::new(profile_of(&profile)), 1, WALL);
        platform.upgrade(At::ZERO, ConnId(1), &request_of("/bot"));
        assert_eq!(
            platform.poll_order(),
            Some((ConnId(1), Order::Accept(vec![])))
        );
        let refused = platform.request(At::from_secs(1), &request_of("/api"));
        match (refused.unwrap_err(), expect) {
            (Order::Refuse(answer), Some(status)) => {
                assert_eq!(answer.status, status);
                assert_eq!(answer.header("retry-after"), Some("9"));
            }
            (Order::Cut(Cut::Reset), None) => {}
            (order, _) => panic!("{order:?}"),
        }
        let later = At::from_secs(10);
        assert_eq!(platform.request(later, &request_of("/api")), Ok(later));
        platform.upgrade(later, ConnId(2), &request_of("/bot"));
        assert!(!matches!(
            platform.poll_order(),
            Some((_, Order::Accept(_))) | None
        ));
    }
}

/// One upgrade a second, and 2 s of patience.
const QUEUE: &str = "limits:
  - name: queue
    on: upgrade
    law: {token-bucket: {quota: 1, window: 1s, burst: 1}}
    queue: {up_to: 2s}
    refusal: {http: {status: 503}}
    source: {label: fiction, from: a test}
";

#[test]
fn upgrades_wait_in_a_queue_before_they_are_refused() {
    let refuse = "refuse 503 x-plimsoll-limit=queue";
    check(
        QUEUE,
        "0 *5 open /bot\n1.5 *2 open /bot",
        &format!(
            "0 1 accept\n0 4 {refuse}\n0 5 {refuse}\n1 2 accept\n1.5 7 {refuse}\n2 3 accept\n3 6 accept"
        ),
    );
    // Who goes away while it waits leaves its turn unused, and what is told it meanwhile is not heard.
    check(
        QUEUE,
        "0 *3 open /bot\n0.5 2 say a\n0.6 2 end\n0.7 4 open /bot\n2 3 say b",
        &format!("0 1 accept\n0.7 4 {refuse}\n2 3 accept\n2.4 3 < reply re b"),
    );
    // A fault strikes when the turn has come.
    check(
        &format!(
            "{QUEUE}faults: [{{every: 2, what: {{cut: reset}}}}, {{every: 3, what: {{slow-upgrade: {{by: 5s}}}}}}]"
        ),
        "0 *3 open /bot",
        "0 1 accept\n1 2 reset\n7 3 accept",
    );
    // It holds its place from when it came.
    check(
        &format!("{CAP}{}", QUEUE.trim_start_matches("limits:\n")),
        "0 *3 open /bot",
        "0 1 accept\n0 3 refuse 503 x-plimsoll-limit=cap 2 of 2\n1 2 accept",
    );
}

#[test]
fn a_gateway_that_counts_first_charges_what_others_refuse() {
    let two = |charges: bool| {
        format!(
            "limits:
  - {{name: one, on: upgrade, law: {{sliding-log: {{quota: 1, window: 10s}}}}, refusal: reset, source: {{label: fiction, from: x}}}}
  - name: many
    on: upgrade
    law: {{sliding-log: {{quota: 3, window: 20s}}}}
    charges_refused_elsewhere: {charges}
    refusal: fin
    source: {{label: fiction, from: x}}
"
        )
    };
    let moves = "0 *3 open /bot\n10 *1 open /bot\n20 *1 open /bot";
    check(
        &two(false),
        moves,
        "0 1 accept\n0 2 reset\n0 3 reset\n10 4 accept\n20 5 accept",
    );
    check(
        &two(true),
        moves,
        "0 1 accept\n0 2 reset\n0 3 reset\n10 4 fin\n20 5 accept",
    );
}

#[test]
fn evidence_comes_in_every_form() {
    let body = "{{ retry_after }} {{ retry_ms }} {{ retry_in }} {{ retry_date }} {{ retry_iso }} {{ retry_epoch }} {{ retry_epoch_ms }} | {{ reset }} {{ reset_in }} {{ reset_iso }} | {{ count }}+{{ remaining }}/{{ quota }} of {{ burst }} in {{ window }} {{ window_ms }} {{ limit }}";
    check(
        &format!(
            "limits:
  - name: bucket
    on: upgrade
    law: {{token-bucket: {{quota: 2, window: 3m, burst: 3}}}}
    refusal: {{http: {{status: 429, body: '{body}'}}}}
    source: {{label: fiction, from: a test}}
"
        ),
        "0 *3 open /bot\n0.25 4 open /bot\n89.5 5 open /bot",
        "0 1 accept
         0 2 accept
         0 3 accept
         0.25 4 refuse 429 x-plimsoll-limit=bucket 90 89750 1m29.75s Tue, 14 Nov 2023 22:14:50 GMT 2023-11-14T22:14:50Z 1700000090 1700000090000 | 270 4m29.75s 2023-11-14T22:17:50Z | 3+0/2 of 3 in 180 180000 bucket
         89.5 5 refuse 429 x-plimsoll-limit=bucket 1 500 500ms Tue, 14 Nov 2023 22:14:50 GMT 2023-11-14T22:14:50Z 1700000090 1700000090000 | 181 3m0.5s 2023-11-14T22:17:50Z | 3+0/2 of 3 in 180 180000 bucket",
    );
}

#[test]
fn each_connection_has_its_own_count_of_messages() {
    check(
        &with_refusal("message", "in-band"),
        "0 *2 open /bot\n1 1 say a\n1 2 say b",
        "0 1 accept\n0 2 accept\n1.4 1 < reply re a\n1.4 2 < reply re b",
    );
}
