//! What a judge's scores add up to, and how far the mean of all conversations may be from theirs.

use serde::Serialize;

/// Scores are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Judged {
    /// Conversations that were drawn to be scored.
    pub sampled: u64,
    /// Those that the command was asked about: fewer where judging was interrupted.
    pub asked: u64,
    pub scored: u64,
    /// Asked about, without a score for an answer.
    pub failed: u64,
    /// Of the scores; `None` where there is none.
    pub mean: Option<f64>,
    /// The mean of all conversations of this kind lies between these, with this confidence.
    pub interval: Option<[f64; 2]>,
    pub confidence: f64,
    /// How the interval was found.
    pub method: Option<&'static str>,
    /// The first few that differ of the reasons why there was no score.
    pub failures: Vec<String>,
}

impl Judged {
    /// Adds up what the command answered about some of the conversations that were drawn.
    pub fn of(sampled: usize, answers: &[Result<f64, String>]) -> Self {
        let scores: Vec<_> = answers
            .iter()
            .filter_map(|answer| answer.as_ref().ok().copied())
            .collect();
        let mut failures: Vec<String> = Vec::new();
        for why in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            if failures.len() < MOST_FAILURES && !failures.contains(why) {
                failures.push(why.clone());
            }
        }
        let found = interval(&scores);
        Self {
            sampled: sampled as u64,
            asked: answers.len() as u64,
            scored: scores.len() as u64,
            failed: (answers.len() - scores.len()) as u64,
            mean: mean(&scores),
            interval: found.map(|(interval, _)| interval),
            confidence: CONFIDENCE,
            method: found.map(|(_, method)| method),
            failures,
        }
    }

    /// The run was to end before all were asked about.
    pub const fn is_interrupted(&self) -> bool {
        self.asked < self.sampled
    }
}

/// Reads what a judge printed: on the first line a number from 0 to 1, `pass` or `fail`.
pub fn score(printed: &str) -> Result<f64, String> {
    let line = printed.lines().next().unwrap_or_default().trim();
    if line.eq_ignore_ascii_case("pass") {
        return Ok(1.0);
    }
    if line.eq_ignore_ascii_case("fail") {
        return Ok(0.0);
    }
    match line.parse::<f64>() {
        Ok(score) if (0.0..=1.0).contains(&score) => Ok(score),
        Ok(_) => Err(format!("it answered {line}, which is not between 0 and 1")),
        Err(_) if line.is_empty() => Err("it answered nothing on its first line".to_owned()),
        Err(_) => {
            let shown: String = line.chars().take(SHOWN).collect();
            Err(format!(
                "it answered '{shown}', which is neither a number from 0 to 1 nor 'pass' nor 'fail'"
            ))
        }
    }
}

fn mean(scores: &[f64]) -> Option<f64> {
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

/// Passes and fails are a proportion, for which Wilson's interval holds also near 0 and 1 and for few. Other scores have a
/// spread of their own, and Student's. Where they show no spread it says nothing; Wilson's is then too wide rather than too
/// narrow, for nothing between 0 and 1 spreads more than passes and fails of the same mean.
fn interval(scores: &[f64]) -> Option<([f64; 2], &'static str)> {
    let mean = mean(scores)?;
    let n = scores.len() as f64;
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    let is_share = scores.iter().all(|score| *score == 0.0 || *score == 1.0);
    if is_share || squares < 1e-12 {
        return Some((wilson(mean, n), "wilson"));
    }
    let error = (squares / (n - 1.0) / n).sqrt() * student(scores.len() - 1);
    let bounds = [mean - error, mean + error].map(|bound| bound.clamp(0.0, 1.0));
    Some((bounds, "student-t"))
}

/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical
/// Association 22 (1927).
fn wilson(share: f64, n: f64) -> [f64; 2] {
    let z2 = Z * Z;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    [centre - half, centre + half].map(|bound| bound.clamp(0.0, 1.0))
}

/// The 97.5th percentile of Student's distribution ("The probable error of a mean", Biometrika 6, 1908), by the expansion
/// 26.7.5 of Abramowitz and Stegun, "Handbook of Mathematical Functions", which is too small for one or two degrees.
fn student(degrees: usize) -> f64 {
    match degrees {
        0 => return f64::INFINITY,
        1 => return 12.706,
        2 => return 4.303,
        _ => {}
    }
    let v = degrees as f64;
    let [z3, z5, z7, z9] = [3, 5, 7, 9].map(|power| Z.powi(power));
    let first = (z3 + Z) / 4.0;
    let second = (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / 96.0;
    let third = (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / 384.0;
    let fourth = (79.0 * z9 + 776.0 * z7 + 1482.0 * z5 - 1920.0 * z3 - 945.0 * Z) / 92_160.0;
    Z + first / v + second / v.powi(2) + third / v.powi(3) + fourth / v.powi(4)
}

const CONFIDENCE: f64 = 0.95;
/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;
const MOST_FAILURES: usize = 3;
const SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_s_first_line_is_a_score_or_says_why_not() {
        let check = |printed: &str, expect: Result<f64, &str>| {
            let found = score(printed);
            assert_eq!(found, expect.map_err(str::to_owned), "{printed:?}");
        };
        check("0.5\nbecause it was polite", Ok(0.5));
        check(" PASS \r\n", Ok(1.0));
        check("fail", Ok(0.0));
        check("1e-1", Ok(0.1));
        check("", Err("it answered nothing on its first line"));
        check("1.5", Err("it answered 1.5, which is not between 0 and 1"));
        check("NaN", Err("it answered NaN, which is not between 0 and 1"));
        check(
            "-inf",
            Err("it answered -inf, which is not between 0 and 1"),
        );
        check("\n1", Err("it answered nothing on its first line"));
        check(
            "Traceback",
            Err(
                "it answered 'Traceback', which is neither a number from 0 to 1 nor 'pass' nor 'fail'",
            ),
        );
    }

    #[track_caller]
    fn bounds(scores: &[f64], expect: [f64; 2], method: &str) {
        let (found, by) = interval(scores).expect("there are scores");
        let near = |n: usize| (found[n] - expect[n]).abs() < 0.000_5;
        assert!(near(0) && near(1) && by == method, "{found:?} by {by}");
    }

    #[test]
    fn the_interval_of_shares_is_wilson_s_and_that_of_scores_student_s() {
        let share = |passed: usize, of: usize| -> Vec<f64> {
            (0..of).map(|n| f64::from(u8::from(n < passed))).collect()
        };
        // The figures of Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        bounds(&share(81, 263), [0.2553, 0.3662], "wilson");
        bounds(&share(15, 148), [0.0624, 0.1605], "wilson");
        bounds(&share(0, 20), [0.0, 0.1611], "wilson");
        bounds(&share(1, 29), [0.0061, 0.1718], "wilson");
        // 0.5 ± 12.706 × 0.1414 / √2, and no further than a score goes.
        bounds(&[0.4, 0.6], [0.0, 1.0], "student-t");
        // Mean 0.6, s 0.15811, √5; t of 4 degrees is 2.7764.
        bounds(&[0.4, 0.5, 0.6, 0.7, 0.8], [0.4037, 0.7963], "student-t");
        // All alike.
        bounds(&[0.5; 10], wilson(0.5, 10.0), "wilson");
        assert_eq!(interval(&[]), None);
    }

    #[test]
    fn student_s_quantiles_are_those_of_the_tables() {
        for (degrees, expect) in [
            (3, 3.182),
            (4, 2.776),
            (5, 2.571),
            (10, 2.228),
            (30, 2.042),
            (99, 1.984),
        ] {
            let found = student(degrees);
            assert!((found - expect).abs() < 0.005, "{degrees}: {found}");
        }
    }

    #[test]
    fn what_gave_no_score_is_counted_and_kept_out_of_the_mean() {
        let no = |why: &str| Err(why.to_owned());
        let answers = [
            Ok(1.0),
            no("a"),
            Ok(0.0),
            no("b"),
            no("a"),
            no("c"),
            no("d"),
        ];
        let judged = Judged::of(9, &answers);
        assert_eq!(
            (judged.sampled, judged.asked, judged.scored, judged.failed),
            (9, 7, 2, 5)
        );
        assert_eq!((judged.mean, judged.method), (Some(0.5), Some("wilson")));
        assert_eq!(judged.failures, ["a", "b", "c"]);
        assert!(judged.is_interrupted());
        let nothing = Judged::of(0, &[]);
        assert_eq!(
            (nothing.mean, nothing.interval, nothing.is_interrupted()),
            (None, None, false)
        );
    }
}
