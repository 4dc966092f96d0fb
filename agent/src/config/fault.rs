//! What is wrong with a file, where, and what would be right.
//!
//! A reader collects [`Findings`] by byte span while it goes on reading; only at the end do spans become lines and
//! columns. Nothing here knows what a file means. Lines that may hold a secret are never shown.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// Bytes of the file.
pub(crate) type Span = Range<usize>;

/// More than anybody reads; beyond it the rest is only counted.
const SHOWN: usize = 50;
/// The most characters of a line that are shown around a fault.
const LINE_SHOWN: usize = 96;

/// Is it an error, or only worth knowing?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// The file is refused.
    Error,
    /// The file is taken, and does something its author may not expect.
    Warning,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, as it was named by whoever asked.
    pub file: String,
    /// Where in it; absent where the file as a whole is at fault.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// Is it an error?
    pub weight: Weight,
    /// What was expected, what was found, what to do.
    pub text: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The line itself; empty where it may hold a secret.
    #[serde(skip)]
    source: String,
    /// How many characters of `source` stand before the fault.
    #[serde(skip)]
    indent: usize,
    /// How many characters the fault is wide.
    #[serde(skip)]
    width: usize,
}

impl Fault {
    /// A file that is at fault as a whole.
    pub fn whole(file: &str, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: None, weight: Weight::Error, text: text.into() }
    }
}

impl fmt::Display for Fault {
    /// `file:line:column: text`, then the line and a caret under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        let weight = match self.weight {
            Weight::Error => "",
            Weight::Warning => "warning: ",
        };
        write!(f, ": {weight}{}", self.text)?;
        let Some(place) = self.place.as_ref().filter(|place| !place.source.is_empty()) else {
            return Ok(());
        };
        let number = place.line.to_string();
        let carets = "^".repeat(place.width);
        write!(f, "\n {number} | {}", place.source)?;
        write!(f, "\n {:w$} | {:i$}{carets}", "", "", w = number.len(), i = place.indent)
    }
}

/// Everything that is wrong with a file, in its order; at least one is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

/// What was found so far in one file.
pub(crate) struct Findings<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<(Span, Weight, String)>,
}

impl<'t> Findings<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// The file is refused, for this reason.
    pub(crate) fn error(&mut self, span: &Span, text: impl Into<String>) {
        self.found.push((span.clone(), Weight::Error, text.into()));
    }

    /// The file is taken, but its author should know this.
    pub(crate) fn warn(&mut self, span: &Span, text: impl Into<String>) {
        self.found.push((span.clone(), Weight::Warning, text.into()));
    }

    /// Is there an error among them?
    pub(crate) fn failed(&self) -> bool {
        self.found.iter().any(|(_, weight, _)| *weight == Weight::Error)
    }

    /// What was found, in the order of the file.
    pub(crate) fn faults(mut self) -> Vec<Fault> {
        self.found.sort_by_key(|(span, weight, _)| (span.start, *weight));
        self.found.dedup();
        let beyond = self.found.len().saturating_sub(SHOWN);
        let mut faults: Vec<Fault> = self.found[..self.found.len() - beyond]
            .iter()
            .map(|(span, weight, text)| Fault {
                file: self.file.to_owned(),
                place: Some(place(self.text, span)),
                weight: *weight,
                text: text.clone(),
            })
            .collect();
        if beyond > 0 {
            faults.push(Fault::whole(self.file, format!("and {beyond} more")));
        }
        faults
    }
}

fn place(text: &str, span: &Span) -> Place {
    let start = floor(text, span.start);
    let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].find('\n').map_or(&text[begin..], |at| &text[begin..start + at]);
    let before = text[begin..start].chars().count();
    let place = Place {
        line: text[..begin].matches('\n').count() + 1,
        column: before + 1,
        source: String::new(),
        indent: 0,
        width: 0,
    };
    if may_hold_secret(&text[..begin], line) || line.trim().is_empty() {
        return place;
    }
    let spanned = text[start..floor(text, span.end.max(start))].lines().next().unwrap_or_default();
    // Control characters would move the cursor; a tab would move the caret.
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let length = line.trim_end().chars().count();
    let skipped = before.saturating_sub(LINE_SHOWN / 2).min(length.saturating_sub(LINE_SHOWN));
    let source: String =
        line.trim_end().chars().skip(skipped).take(LINE_SHOWN).map(shown).collect();
    let room = source.chars().count().saturating_sub(before - skipped).max(1);
    Place {
        source,
        indent: before - skipped,
        width: spanned.chars().count().clamp(1, room),
        ..place
    }
}

/// The last character boundary up to `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Does this line belong to a table of credentials, however it is written?
fn may_hold_secret(before: &str, line: &str) -> bool {
    let header = before.lines().rev().find(|line| line.trim_start().starts_with('['));
    line.contains("credentials")
        || ["password", "secret"].iter().any(|word| line.contains(word))
        || header.is_some_and(|header| header.contains("credentials"))
}

/// The word of `known` that was probably meant.
pub(crate) fn nearest<'k>(
    found: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    // A third of the letters wrong is still a slip; more is another word.
    let slips = (found.chars().count() / 3).clamp(1, 3);
    let folded = found.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|word| (distance(&folded, &word.to_lowercase().replace('_', "-")), word))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Letters to change, add, drop or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let same = usize::from(a[i - 1] != b[j - 1]);
                    let plain =
                        (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if swapped { plain.min(rows[i - 2][j - 2] + 1) } else { plain }
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

/// `` `a`, `b` or `c` ``.
pub(crate) fn alternatives<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_a_slip_away_or_none() {
        let words = ["name", "mode", "cooldown", "max_loss"];
        for (found, expected) in [
            ("nmae", Some("name")),
            ("Mode", Some("mode")),
            ("modee", Some("mode")),
            ("cool-down", Some("cooldown")),
            ("max-loss", Some("max_loss")),
            ("xyz", None),
            ("", None),
        ] {
            let slip = nearest(found, words);
            assert_eq!(slip, expected, "{found}");
        }
    }

    #[test]
    fn the_caret_stands_under_the_place_whatever_the_line_holds() {
        let text = "a = 1\n\tname = \"ä\" # \u{1b}[2J\n";
        let mut findings = Findings::new("x.toml", text);
        findings.error(&(14..18), "no");
        assert_eq!(
            Faults(findings.faults()).to_string(),
            "x.toml:2:9: no\n 2 |  name = \"ä\" #  [2J\n   |         ^^^"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("x = \"{}\" y", "z".repeat(5_000));
        let mut findings = Findings::new("x.toml", &text);
        findings.error(&(text.len() - 1..text.len()), "no");
        let shown = Faults(findings.faults()).to_string();
        assert!(shown.ends_with('^') && shown.len() < 300, "{shown}");
    }

    #[test]
    fn a_line_of_a_secret_is_not_shown() {
        let text = "[credentials.orders]\nusr = \"hunter2\"\n[mesh]\nx = 1\n";
        let mut findings = Findings::new("agent.toml", text);
        findings.error(&(21..24), "unknown key `usr`");
        findings.error(&(44..45), "unknown key `x`");
        let shown = Faults(findings.faults()).to_string();
        assert!(!shown.contains("hunter2") && shown.contains("4 | x = 1"), "{shown}");
    }
}
