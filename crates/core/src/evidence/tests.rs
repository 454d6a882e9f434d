//! What each vendor sends, in values of our own; [`lies`] has what nobody should send.

use super::*;

mod lies;

/// Everything below is received 100 s into the run; by the other side's clock it is 2021-02-16 08:00:00 UTC then, by
/// ours an hour later.
const RECEIVED: At = At::from_secs(100);
const DATE: (&str, &str) = ("date", "Tue, 16 Feb 2021 08:00:00 GMT");
const WALL: Wall = Wall {
    epoch_millis_at_zero: (1_613_462_400 + 3_600 - 100) * 1_000,
};

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    Answer {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

fn of(status: u16, headers: &[(&str, &str)], body: &str) -> Clues {
    Clues::of_answer(&answer(status, headers, body), RECEIVED, WALL)
}

/// `limit; 24s -1s by retry-after; "burst" 0 left of 100 requests in 1m, resets in 3s`.
fn shown(clues: &Clues) -> String {
    let mut parts = vec![clues.ground.map_or("no ground", Ground::name).to_owned()];
    if let Some(limit) = &clues.limit {
        parts[0] += &format!(" {limit}");
    }
    if let Some(scope) = &clues.scope {
        parts[0] += &format!(" of {scope}");
    }
    if clues.counts_places {
        parts[0] += " on places";
    }
    if let Some(countdown) = &clues.countdown {
        let (span, less) = (span_text(countdown.span), span_text(countdown.resolution));
        parts.push(format!("{span} -{less} by {}", countdown.field));
    }
    parts.extend(clues.policies.iter().map(policy_shown));
    parts.extend(clues.problems.iter().map(|problem| format!("! {problem}")));
    parts.join("; ")
}

fn policy_shown(policy: &Policy) -> String {
    let mut words = Vec::new();
    words.extend(policy.name.as_ref().map(|name| format!("{name:?}")));
    words.extend(policy.remaining.map(|left| format!("{left} left")));
    words.extend(policy.used.map(|used| format!("{used} used")));
    words.extend(policy.quota.map(|quota| format!("of {quota}")));
    words.extend(policy.unit.as_ref().map(|unit| unit.name().to_owned()));
    words.extend(
        policy
            .window
            .map(|window| format!("in {}", span_text(window))),
    );
    words.extend(policy.refill.map(|refill| {
        format!(
            "refilled by {} each {}",
            refill.tokens,
            span_text(refill.every)
        )
    }));
    words.extend(
        policy
            .resets
            .as_ref()
            .map(|resets| format!("resets in {}", span_text(resets.span))),
    );
    words.extend(policy.partition.as_ref().map(|key| format!("for {key}")));
    words.join(" ")
}

fn check(who: &str, status: u16, headers: &[(&str, &str)], body: &str, expect: &str) {
    assert_eq!(shown(&of(status, headers, body)), expect, "{who}");
}

fn check_frame(who: &str, frame: &str, expect: &str) {
    assert_eq!(
        shown(&Clues::of_frame(frame, RECEIVED, WALL)),
        expect,
        "{who}"
    );
}

#[test]
fn retry_after_is_read_on_any_status() {
    check(
        "seconds",
        429,
        &[("retry-after", "120")],
        "",
        "limit; 2m -1s by retry-after",
    );
    check(
        "busy",
        503,
        &[("retry-after", "3")],
        "",
        "overload; 3s -1s by retry-after",
    );
    check(
        "moved",
        302,
        &[("retry-after", "3")],
        "",
        "no ground; 3s -1s by retry-after",
    );
    check(
        "date, against their clock",
        429,
        &[DATE, ("retry-after", "Tue, 16 Feb 2021 08:00:42 GMT")],
        "",
        "limit; 42s -2s by retry-after",
    );
    check(
        "date, against ours",
        429,
        &[("retry-after", "Tue, 16 Feb 2021 09:00:42 GMT")],
        "",
        "limit; 42s -1s by retry-after",
    );
}

#[test]
fn vendors_counts_and_resets_are_understood() {
    check(
        "GitHub: epoch",
        403,
        &[
            DATE,
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-used", "60"),
            ("x-ratelimit-reset", "1613462460"),
            ("x-ratelimit-resource", "core"),
        ],
        r#"{"message":"API rate limit exceeded for 192.0.2.1."}"#,
        r#"limit core; 1m -2s by x-ratelimit-reset; "core" 0 left 60 used of 60 resets in 1m"#,
    );
    check(
        "Envoy: delta",
        429,
        &[
            ("x-envoy-ratelimited", "true"),
            ("x-ratelimit-limit", "10, 10;w=60"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "3"),
            ("server", "envoy"),
        ],
        "local_rate_limited",
        "limit; 3s -1s by x-ratelimit-reset; 0 left of 10 in 1m resets in 3s",
    );
    check(
        "WHOOP: first generation, windows spelled out",
        200,
        &[
            (
                "x-ratelimit-limit",
                "100, 100;window=60, 10000;window=86400",
            ),
            ("x-ratelimit-remaining", "98"),
            ("x-ratelimit-reset", "3"),
        ],
        "",
        "no ground; 98 left of 100 in 1m resets in 3s; of 10000 in 24h",
    );
    check(
        "Lemlist: what JavaScript prints",
        429,
        &[
            DATE,
            ("x-ratelimit-limit", "20"),
            ("x-ratelimit-remaining", "0"),
            (
                "x-ratelimit-reset",
                "Tue Feb 16 2021 09:00:02 GMT+0100 (CET)",
            ),
        ],
        "",
        "limit; 2s -2s by x-ratelimit-reset; 0 left of 20 resets in 2s",
    );
    check(
        "MailerLite: ISO without a zone",
        429,
        &[
            DATE,
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "2021-02-16 08:00:30"),
        ],
        "",
        "limit; 30s -2s by x-ratelimit-reset; 0 left resets in 30s",
    );
    check(
        "Botpress: the draft's first generation",
        429,
        &[
            ("ratelimit-limit", "100"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "6"),
        ],
        "",
        "limit; 6s -1s by ratelimit-reset; 0 left of 100 resets in 6s",
    );
    check(
        "GitLab: epoch under the draft's name",
        429,
        &[
            DATE,
            ("retry-after", "30"),
            ("ratelimit-limit", "60"),
            ("ratelimit-name", "throttle_authenticated_web"),
            ("ratelimit-observed", "67"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "1613462430"),
            ("ratelimit-resettime", "Tue, 16 Feb 2021 08:00:30 GMT"),
        ],
        "Retry later\n",
        r#"limit throttle_authenticated_web; 30s -1s by retry-after; "throttle_authenticated_web" 0 left 67 used of 60 resets in 30s"#,
    );
    check(
        "Discord: decimals, a bucket and whose it is",
        429,
        &[
            DATE,
            ("retry-after", "65"),
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1613462464.57"),
            ("x-ratelimit-reset-after", "64.57"),
            ("x-ratelimit-bucket", "abcd1234"),
            ("x-ratelimit-scope", "shared"),
        ],
        r#"{"message":"The resource is being rate limited.","retry_after":64.57,"global":false}"#,
        r#"limit abcd1234 of shared; 1m 4.57s -1ms by retry_after; "abcd1234" 0 left of 10 resets in 1m 4.57s"#,
    );
    check(
        "Discord: everybody's",
        429,
        &[("x-ratelimit-global", "true")],
        r#"{"retry_after":0.5,"global":true}"#,
        "limit of global; 500ms -1ms by retry_after",
    );
    check(
        "X: one more hyphen",
        429,
        &[
            DATE,
            ("x-rate-limit-limit", "900"),
            ("x-rate-limit-remaining", "0"),
            ("x-rate-limit-reset", "1613463300"),
        ],
        r#"{"errors":[{"code":88,"message":"Rate limit exceeded"}]}"#,
        "limit; 15m -2s by x-rate-limit-reset; 0 left of 900 resets in 15m",
    );
}

#[test]
fn several_dimensions_are_several_limits() {
    check(
        "OpenAI: Go durations; requests are spent, tokens are not",
        429,
        &[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ],
        "",
        "limit; 1s -1s by x-ratelimit-reset-requests; 0 left of 60 requests resets in 1s; 149984 left of 150000 tokens resets in 6m",
    );
    check(
        "Anthropic: dates",
        429,
        &[
            DATE,
            ("retry-after", "11"),
            ("retry-after-ms", "10250"),
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2021-02-16T08:00:11Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "9000"),
        ],
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"over the limit"}}"#,
        "limit; 10.25s -1ms by retry-after-ms; 0 left of 50 requests resets in 11s; 9000 left input-tokens",
    );
    check(
        "Azure OpenAI",
        429,
        &[("retry-after-ms", "1500")],
        "",
        "limit; 1.5s -1ms by retry-after-ms",
    );
    check(
        "Cosmos DB",
        429,
        &[("x-ms-retry-after-ms", "12")],
        "",
        "limit; 12ms -1ms by x-ms-retry-after-ms",
    );
    check(
        "Kong: a pair for each window",
        429,
        &[
            ("retry-after", "24"),
            ("ratelimit-limit", "5"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "24"),
            ("x-ratelimit-limit-minute", "5"),
            ("x-ratelimit-remaining-minute", "0"),
            ("x-ratelimit-limit-hour", "100"),
            ("x-ratelimit-remaining-hour", "60"),
            ("server", "kong/3"),
        ],
        r#"{"message":"API rate limit exceeded"}"#,
        "limit; 24s -1s by retry-after; 0 left of 5 in 1m resets in 24s; 60 left of 100 in 1h",
    );
    check(
        "Atlassian: the bucket itself",
        429,
        &[
            ("x-ratelimit-limit", "50"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-interval-seconds", "2"),
            ("x-ratelimit-fillrate", "10"),
            ("retry-after", "2"),
        ],
        "",
        "limit; 2s -1s by retry-after; 0 left of 50 refilled by 10 each 2s",
    );
    check(
        "Binance: use, and a ban",
        418,
        &[
            DATE,
            ("retry-after", "120"),
            ("x-mbx-used-weight-1m", "6001"),
            ("x-mbx-order-count-10s", "4"),
        ],
        r#"{"code":-1003,"msg":"Too much weight used; IP banned until 1613462520000."}"#,
        "ban; 2m -1s by retry-after; 6001 used weight in 1m; 4 used order in 10s",
    );
}

#[test]
fn the_current_draft_is_a_list_of_named_policies() {
    check(
        "Cloudflare's API",
        429,
        &[
            ("ratelimit-policy", r#""default";q=1200;w=300"#),
            ("ratelimit", r#""default";r=0;t=30"#),
            ("retry-after", "31"),
            ("server", "cloudflare"),
        ],
        "",
        r#"limit default; 31s -1s by retry-after; "default" 0 left of 1200 in 5m resets in 30s"#,
    );
    check(
        "split over lines; the spent one counts down",
        429,
        &[
            ("ratelimit-policy", r#""burst";q=100;w=60"#),
            ("ratelimit-policy", r#""daily";q=1000;w=86400;pk=:YWJj:"#),
            (
                "ratelimit",
                r#""burst";r=50;t=3, "daily";r=0;t=4000;pk=:YWJj:"#,
            ),
        ],
        "",
        r#"limit daily; 1h 6m 40s -1s by ratelimit; "burst" 50 left of 100 in 1m resets in 3s; "daily" 0 left of 1000 in 24h resets in 1h 6m 40s for abc"#,
    );
    check(
        "places",
        429,
        &[
            (
                "ratelimit-policy",
                r#""open";q=20;qu="concurrent-requests""#,
            ),
            ("ratelimit", r#""open";r=0"#),
        ],
        "",
        r#"limit open on places; "open" 0 left of 20 concurrent-requests"#,
    );
    check(
        "the problem names the violated policy",
        429,
        &[("ratelimit", r#""a";r=5;t=7, "b";r=5;t=9"#)],
        r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","violated-policies":["b"]}"#,
        r#"limit b; 9s -1s by ratelimit; "a" 5 left resets in 7s; "b" 5 left resets in 9s"#,
    );
    check(
        "reduced capacity",
        503,
        &[],
        r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"}"#,
        "overload",
    );
    check(
        "the third generation: one dictionary",
        429,
        &[
            ("ratelimit", "limit=100, remaining=0, reset=5"),
            ("ratelimit-policy", "100;w=10"),
        ],
        "",
        "limit; 5s -1s by ratelimit; 0 left of 100 in 10s resets in 5s",
    );
    check(
        "the second: a policy beside the three",
        429,
        &[
            ("ratelimit-limit", "100"),
            ("ratelimit-policy", "100;w=60;comment=\"soft\", 500;w=3600"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "50"),
        ],
        "",
        "limit; 50s -1s by ratelimit-reset; 0 left of 100 in 1m resets in 50s; of 500 in 1h",
    );
}

#[test]
fn the_rest_of_the_gateways_are_understood() {
    check(
        "Akamai: a moment",
        429,
        &[DATE, ("x-ratelimit-next", "2021-02-16T08:01:00Z")],
        "",
        "limit; 1m -2s by x-ratelimit-next",
    );
    check(
        "Traefik: the finer of two that agree",
        429,
        &[("retry-after", "1"), ("x-retry-in", "153.2ms")],
        "Too Many Requests",
        "limit; 153ms -1ms by x-retry-in",
    );
    check(
        "nginx: no word more than it must",
        503,
        &[("server", "nginx")],
        "<html><title>503 Service Temporarily Unavailable</title></html>",
        "overload",
    );
    check(
        "a limiter that says 503",
        503,
        &[("x-envoy-ratelimited", "true")],
        "",
        "limit",
    );
    check(
        "API Gateway: by its error type alone",
        429,
        &[("x-amzn-errortype", "LimitExceededException")],
        r#"{"message":"Limit Exceeded"}"#,
        "limit",
    );
    check(
        "a hosted realtime service",
        429,
        &[],
        r#"{"error":"Too many connected users"}"#,
        "limit on places",
    );
    check(
        "Genesys Cloud: an answer like any other",
        200,
        &[
            ("inin-ratelimit-count", "1"),
            ("inin-ratelimit-allowed", "180"),
            ("inin-ratelimit-reset", "61"),
        ],
        "",
        "no ground; 1 used of 180 resets in 1m 1s",
    );
    check(
        "Genesys Cloud: a refusal",
        429,
        &[
            ("inin-ratelimit-count", "181"),
            ("inin-ratelimit-allowed", "180"),
            ("inin-ratelimit-reset", "42"),
        ],
        r#"{"message":"Over the limit. Retry the request in [42] seconds","code":"too.many.requests.retry.after","status":429,"contextId":"1","details":[],"errors":[]}"#,
        "limit; 42s -1s by message; 181 used of 180 resets in 42s",
    );
    check(
        "Genesys Cloud: with the limit's own name",
        429,
        &[("retry-after", "9")],
        r#"{"message":"no","limit":{"key":"connections.rate.per.minute","namespace":"chat","value":1000}}"#,
        r#"limit connections.rate.per.minute; 9s -1s by retry-after; "connections.rate.per.minute" of 1000"#,
    );
}

#[test]
fn frames_refuse_on_an_open_connection() {
    check_frame(
        "Genesys web messaging",
        r#"{"type":"response","class":"TooManyRequestsErrorMessage","code":429,"body":{"retryAfter":3,"errorCode":4029,"errorMessage":"no"}}"#,
        "limit; 3s -1s by retryAfter",
    );
    check_frame(
        "AudioHook: an ISO duration",
        r#"{"type":"error","parameters":{"code":429,"message":"no","retryAfter":"PT3S"}}"#,
        "limit; 3s -1s by retryAfter",
    );
    check_frame(
        "Binance: an absolute moment under the name of a span, and the server's time",
        r#"{"id":1,"status":418,"error":{"code":-1003,"msg":"no","data":{"retryAfter":1613462405250,"serverTime":1613462400000}},"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000,"count":6001}]}"#,
        "ban; 5.25s -2ms by retryAfter; 6001 used of 6000 request-weight in 1m",
    );
    check_frame(
        "Binance: use, beside a result",
        r#"{"id":1,"status":200,"result":[],"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":5,"limit":6000,"count":2}]}"#,
        "no ground; 2 used of 6000 request-weight in 5m",
    );
    check_frame(
        "OpenAI realtime: a notice is no refusal",
        r#"{"type":"rate_limits.updated","rate_limits":[{"name":"requests","limit":1000,"remaining":999,"reset_seconds":60}]}"#,
        "no ground; 999 left of 1000 requests resets in 1m",
    );
    check_frame(
        "Slack: too many sockets",
        r#"{"type":"disconnect","reason":"too_many_websockets"}"#,
        "limit on places",
    );
    check_frame(
        "Discord: an invalid session says no more",
        r#"{"op":9,"d":false}"#,
        "no ground",
    );
    check_frame(
        "anything with a 429",
        r#"{"code":"429","retry_after":1.5}"#,
        "limit; 1.5s -1ms by retry_after",
    );
}

#[test]
fn what_a_bot_says_is_no_refusal() {
    for frame in [
        r#"{"type":"message","text":"We have too many requests; retry in [42] seconds"}"#,
        r#"{"type":"message","text":"429","code":200,"body":{"retryAfter":3}}"#,
        "Too many requests",
        "[429]",
        r#"{"code":429"#,
        "",
    ] {
        check_frame(frame, frame, "no ground");
    }
}

#[test]
fn a_close_says_what_its_reason_says() {
    let close = |code, reason| shown(&Clues::of_close(Some(code), reason, RECEIVED, WALL));
    assert_eq!(close(4008, "Rate limited."), "limit");
    assert_eq!(close(1013, ""), "overload");
    assert_eq!(
        close(1008, "too many connections, retry in 5 s"),
        "limit on places; 5s -1s by close reason"
    );
    assert_eq!(close(1000, "bye"), "no ground");
}
