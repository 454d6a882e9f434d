//! The laws of the grid on which admission is judged, what their refusals say, and the best that could be done.

pub(crate) const SILENT: &str = "refusal: {http: {status: 429}},";
pub(crate) const TOLD: &str =
    "refusal: {http: {status: 429, headers: {retry-after: '{{ retry_after }}'}}},";

/// Quota and window, too.
pub(crate) const TOLD_ALL: &str = "refusal: {http: {status: 429, headers: {retry-after: '{{ retry_after }}', ratelimit-policy: '\"l\";q={{ quota }};w={{ window }}'}}},";

/// The laws, with QQ for the quota and WW for the window.
pub(crate) const LAWS: [&str; 6] = [
    "token-bucket: {quota: QQ, window: WWs, burst: QQ}",
    "stepped-bucket: {burst: QQ, fill: QQ, every: WWs}",
    "fixed-window: {quota: QQ, window: WWs, anchor: clock}",
    "fixed-window: {quota: QQ, window: WWs, anchor: first-request}",
    "sliding-log: {quota: QQ, window: WWs}",
    "sliding-counter: {quota: QQ, window: WWs, anchor: first-request}",
];

pub(crate) fn law(shape: &str, quota: u32, window: u32) -> String {
    shape
        .replace("QQ", &quota.to_string())
        .replace("WW", &window.to_string())
}

/// The least time in which five quotas can be let in, beginning with a full bucket or an empty window.
pub(crate) fn optimum(shape: &str, quota: u32, window: u32) -> f64 {
    let window = f64::from(window);
    if shape.starts_with("sliding-counter") {
        // After its first window it lets in what flows evenly, and no more.
        5.0 * window - window / f64::from(quota)
    } else {
        4.0 * window
    }
}
