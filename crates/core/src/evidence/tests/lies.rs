//! Values that lie, contradict one another or flood: named, bounded, and never in the way of what counts.

use proptest::prelude::*;

use super::*;

#[test]
fn retry_after_wins_and_what_contradicts_it_is_named() {
    check(
        "later reset",
        429,
        &[("ratelimit", r#""a";r=0;t=60"#), ("retry-after", "5")],
        "",
        r#"limit a; 5s -1s by retry-after; "a" 0 left resets in 1m"#,
    );
    check(
        "twice, differently: the later",
        429,
        &[("retry-after", "5"), ("retry-after", "60")],
        "",
        "limit; 1m -1s by retry-after; ! retry-after: 5 contradicts retry-after: 60",
    );
    check(
        "body against header",
        429,
        &[("retry-after", "5")],
        r#"{"retryAfter":60000}"#,
        "limit; 5s -1s by retry-after; ! retryAfter: 60000 contradicts retry-after: 5",
    );
    check(
        "more left than there is",
        429,
        &[("x-ratelimit-limit", "5"), ("x-ratelimit-remaining", "9")],
        "",
        "limit; 9 left of 5; ! remaining: 9 contradicts limit: 5",
    );
    check(
        "two limits, none of them spent: the sooner",
        429,
        &[
            ("x-ratelimit-reset-requests", "60"),
            ("x-ratelimit-reset-tokens", "5"),
        ],
        "",
        "limit; 5s -1s by x-ratelimit-reset-tokens; requests resets in 1m; tokens resets in 5s",
    );
}

#[test]
fn values_that_lie_are_named_and_others_are_believed() {
    for (value, why) in [
        ("1000000000000", "is over and was ignored"),
        ("-1", "is negative and was ignored"),
        ("soon", "is no number, duration or date, and was ignored"),
        ("", "is no number, duration or date, and was ignored"),
        (
            "999999999",
            "is beyond anything that a limit says, and was ignored",
        ),
    ] {
        check(
            value,
            429,
            &[("retry-after", value), ("x-ratelimit-reset", "7")],
            "",
            &format!(
                "limit; 7s -1s by x-ratelimit-reset; resets in 7s; ! retry-after: {value} {why}"
            ),
        );
    }
    check(
        "a date that is none leaves our own clock",
        429,
        &[
            ("date", "today"),
            ("retry-after", "Tue, 16 Feb 2021 09:00:42 GMT"),
        ],
        "",
        "limit; 42s -1s by retry-after; ! date: today is no number, duration or date, and was ignored",
    );
    check(
        "a malformed list is ignored",
        429,
        &[
            ("ratelimit", r#""default;r=50"#),
            ("ratelimit-policy", "(1 2)"),
        ],
        "",
        r#"limit; ! ratelimit: "default;r=50 is no number, duration or date, and was ignored; ! ratelimit-policy: (1 2) is no number, duration or date, and was ignored"#,
    );
}

#[test]
fn an_answer_that_is_no_refusal_has_nothing_to_wait_for_but_a_spent_limit() {
    check(
        "plenty left",
        200,
        &[("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "7")],
        "",
        "no ground; 5 left resets in 7s",
    );
    check(
        "nothing left",
        200,
        &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "7")],
        "",
        "no ground; 7s -1s by x-ratelimit-reset; 0 left resets in 7s",
    );
    check(
        "another error",
        401,
        &[("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "7")],
        "no token",
        "no ground; 5 left resets in 7s",
    );
    let secret = of(200, &[], r#"{"access_token":"s3cret","retry_after":3}"#);
    assert_eq!(
        secret,
        Clues::default(),
        "the body of a success is not looked at"
    );
}

#[test]
fn the_speaker_is_told_apart() {
    let proxy = |headers: &[_]| of(503, headers, "").speaker.is_proxy();
    assert!(proxy(&[("server", "nginx/1.26")]));
    assert!(proxy(&[("via", "1.1 edge")]));
    assert!(proxy(&[("x-envoy-ratelimited", "true")]));
    assert!(!proxy(&[("server", "bot/1")]));
    assert!(!proxy(&[]));
    assert_eq!(of(200, &[DATE], "").clock_ahead_millis, Some(-3_600_000));
}

#[test]
fn a_flood_is_bounded_and_hides_nothing_that_counts() {
    let mut headers: Vec<(String, String)> = Vec::new();
    for n in 0..10_000 {
        headers.push((format!("x-ratelimit-limit-d{n}"), n.to_string()));
        headers.push((format!("x-{n}-retry-in"), n.to_string()));
        headers.push(("ratelimit".to_owned(), r#""a";r=0;t=3"#.to_owned()));
    }
    headers.extend((0..10_000).map(|_| ("retry-after".to_owned(), "7".to_owned())));
    let clues = Clues::of_answer(
        &Answer {
            status: 429,
            headers,
            body: String::new(),
        },
        RECEIVED,
        WALL,
    );
    assert_eq!(clues.retry_at(), Some(RECEIVED + Duration::from_secs(7)));
    assert!(clues.left_out > 10_000);
    assert_bounded(&clues);
}

#[test]
fn texts_are_kept_short_and_without_control_characters() {
    let long = "\u{1b}[31m".to_owned() + &"é".repeat(100_000);
    let clues = of(429, &[("retry-after", &long), ("server", &long)], &long);
    assert_bounded(&clues);
    assert!(clues.raw.iter().all(|(_, text)| !text.contains('\u{1b}')));
}

fn assert_bounded(clues: &Clues) {
    assert!(clues.policies.len() <= 32);
    assert!(clues.others.len() <= 16);
    assert!(clues.problems.len() <= 32);
    assert!(clues.codes.len() <= 8);
    assert!(clues.raw.len() <= 64);
    let texts = clues.raw.iter().flat_map(|(name, value)| [name, value]);
    assert!(texts.map(|text| text.chars().count()).max() <= Some(257));
    for countdown in clues.countdown.iter().chain(&clues.others) {
        assert!(countdown.span <= when::LONGEST_SPAN);
        assert!(countdown.after() <= countdown.until());
        assert!(!countdown.raw.is_empty());
    }
}

/// Names, values and texts that are nearly right, and some that are not.
fn nearly() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "retry-after",
        "date",
        "ratelimit",
        "ratelimit-policy",
        "x-ratelimit-limit",
        "x-ratelimit-reset-ms",
        "x-rate-limit-remaining",
        "x-mbx-used-weight-1m",
        "-1",
        "0",
        "1000000000000",
        "99999999999999999999",
        "1e400",
        "6m0s",
        "PT-1S",
        "Tue, 16 Feb 2021 08:00:00 GMT",
        "\"a\";r=0;t=9",
        "\"a\";q=-1",
        "100, 100;w=0",
        "{\"retryAfter\":",
        "{\"code\":429,\"retry_after\":",
        "\"rateLimits\":[",
        "{",
        "}",
        "]",
        ",",
        "[42] seconds",
        "until 9999999999999",
        "é",
        "\u{0}",
        "\"",
        ";",
        "=",
        ":",
    ]);
    prop_oneof![
        6 => prop::collection::vec(words, 0..6).prop_map(|words| words.concat()),
        1 => any::<String>(),
        1 => "[0-9.:TZ+-]{0,40}",
    ]
}

proptest! {
    #[test]
    fn whatever_comes_is_bounded_and_no_panic(
        status in any::<u16>(),
        headers in prop::collection::vec((nearly(), nearly()), 0..20),
        body in nearly(),
        at in any::<u64>(),
        zero in any::<i64>(),
    ) {
        let (at, wall) = (At::from_nanos(at), Wall { epoch_millis_at_zero: zero });
        let clues = Clues::of_answer(&Answer { status, headers, body: body.clone() }, at, wall);
        assert_bounded(&clues);
        prop_assert!(status >= 400 || clues.ground.is_none());
        assert_bounded(&Clues::of_frame(&body, at, wall));
        assert_bounded(&Clues::of_close(Some(status), &body, at, wall));
    }

    #[test]
    fn a_span_in_whole_seconds_comes_back_as_it_was_said(seconds in 0u64..1_000_000) {
        let clues = of(429, &[("retry-after", &seconds.to_string())], "");
        prop_assert_eq!(clues.retry_at(), Some(RECEIVED + Duration::from_secs(seconds)));
    }

    #[test]
    fn two_wrong_clocks_give_a_right_span(wrong in -1_000_000_000i64..1_000_000_000, span in 0u32..1_000_000) {
        let reset = (1_613_462_400 + i64::from(span)).to_string();
        let clues = Clues::of_answer(
            &answer(429, &[DATE, ("x-ratelimit-reset", &reset)], ""),
            RECEIVED,
            Wall { epoch_millis_at_zero: wrong * 1_000 },
        );
        prop_assert_eq!(clues.retry_at(), Some(RECEIVED + Duration::from_secs(span.into())));
    }
}
