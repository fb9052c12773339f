//! "did you mean": the nearest known word.

/// Words longer than this are no slip of the fingers; it also bounds the work.
const WORD_MAX: usize = 40;

/// The candidate that `word` most likely stands for: equal but for case and `-`/`_`, or a few letters away.
pub(crate) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if word.is_empty() || word.len() > WORD_MAX {
        return None;
    }
    let plain = simplified(word);
    let allowed = (plain.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let away = distance(&plain, &simplified(candidate));
        // A word of two letters is one letter away from most others.
        if away <= allowed
            && away < plain.len().min(candidate.len())
            && best.is_none_or(|(least, _)| away < least)
        {
            best = Some((away, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Lower case, with one sign between words: `startTimeout`, `start-timeout` -> `start_timeout`.
fn simplified(word: &str) -> Vec<char> {
    let mut out = Vec::new();
    let mut before_is_lower = false;
    for c in word.chars() {
        if c.is_uppercase() && before_is_lower {
            out.push('_');
        }
        before_is_lower = c.is_lowercase();
        match c {
            '-' | ' ' | '.' => out.push('_'),
            _ => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// Edit distance with swaps of neighbours as one step (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let width = right.len() + 1;
    let mut rows: Vec<Vec<usize>> = vec![(0..width).collect()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, b) in right.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(row[j] + 1).min(rows[i][j + 1] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row[j + 1] = least;
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        let known = ["min", "max", "target", "start_timeout", "environment", "to", "replicas"];
        assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
    }

    #[test]
    fn slips_are_understood_and_other_words_left_alone() {
        check("tagret", Some("target"));
        check("startTimeout", Some("start_timeout"));
        check("Start-Timeout", Some("start_timeout"));
        check("replica", Some("replicas"));
        check("enviroment", Some("environment"));
        check("mni", Some("min"));
        check("xy", None);
        check("of", None);
        check("volumes", None);
        check("", None);
        check(&"x".repeat(100_000), None);
    }
}
