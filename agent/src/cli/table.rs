//! Text for people at a terminal: colour where there is one, columns, and nothing that a remote text could smuggle in.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

/// No line is wider: terminals of 80 wrap once, those at 3 a.m. over a phone are wider.
pub const WIDTH: usize = 100;

/// What a word means, and so how it is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// As it should be.
    Good,
    /// Wants looking at.
    Wary,
    /// Wrong.
    Bad,
    /// What the eye should find first.
    Strong,
    /// What it may skip.
    Faint,
    /// Everything else.
    Plain,
}

/// Where a verb writes to.
pub struct Out<'a> {
    writer: &'a mut dyn Write,
    /// Is there a terminal that wants colour?
    pub colour: bool,
    /// Is there a terminal at all?
    pub terminal: bool,
}

impl<'a> Out<'a> {
    /// Standard output; coloured on a terminal, unless `NO_COLOR` says otherwise (no-color.org).
    pub fn stdout(stdout: &'a mut std::io::Stdout) -> Self {
        let terminal = stdout.is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { writer: stdout, colour: terminal && !plain, terminal }
    }

    /// Anything else, without colour.
    pub fn plain(writer: &'a mut dyn Write) -> Self {
        Self { writer, colour: false, terminal: false }
    }

    /// Writes text; a reader that went away (`| head`) is no error.
    pub fn print(&mut self, text: &str) {
        let _ = self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush());
    }

    /// Writes a value as JSON.
    pub fn json(&mut self, value: &impl serde::Serialize) {
        let text = serde_json::to_string_pretty(value).expect("plain data");
        self.print(&text);
        self.print("\n");
    }
}

/// Lines being written.
pub struct Sheet {
    text: String,
    colour: bool,
}

impl Sheet {
    /// An empty one.
    pub fn new(colour: bool) -> Self {
        Self { text: String::new(), colour }
    }

    /// Adds words.
    pub fn put(&mut self, ink: Ink, words: &str) -> &mut Self {
        let words = clean(words);
        let code = match ink {
            Ink::Good => "32",
            Ink::Wary => "33",
            Ink::Bad => "1;31",
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Plain => "",
        };
        match self.colour && !code.is_empty() && !words.trim().is_empty() {
            true => write!(self.text, "\x1b[{code}m{words}\x1b[0m").expect("a string"),
            false => self.text.push_str(&words),
        }
        self
    }

    /// Adds words in a column so wide, cut if they are longer, and a gap of two.
    pub fn cell(&mut self, ink: Ink, words: &str, width: usize) -> &mut Self {
        let words = fit(words, width);
        let gap = width - words.chars().count() + 2;
        self.put(ink, &words);
        self.text.extend(std::iter::repeat_n(' ', gap));
        self
    }

    /// Adds a line that begins with a label in a column, and goes on under itself where it is too long.
    pub fn labelled(&mut self, indent: usize, label: &str, ink: Ink, words: &str) {
        const LABEL: usize = 9;
        let start = indent + LABEL + 2;
        for (number, line) in wrap(words, WIDTH - start).into_iter().enumerate() {
            self.text.extend(std::iter::repeat_n(' ', indent));
            self.cell(Ink::Faint, if number == 0 { label } else { "" }, LABEL);
            self.put(ink, &line).end();
        }
    }

    /// Ends the line.
    pub fn end(&mut self) {
        let kept = self.text.trim_end_matches(' ').len();
        self.text.truncate(kept);
        self.text.push('\n');
    }

    /// All lines.
    pub fn finish(self) -> String {
        self.text
    }
}

/// Text without control characters: what comes from afar must not move the cursor.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c }).collect()
}

/// Marks that turn the direction of what follows.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text cut to a width, with an ellipsis where something is missing.
pub fn fit(text: &str, width: usize) -> String {
    match text.chars().count() <= width {
        true => text.to_owned(),
        false => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Text in lines of at most so many characters, broken between words where there are any.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        if line.is_empty() {
            *line = fit(word, width);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(fit(word, width));
        }
    }
    lines
}

/// The widest of some texts, but no wider than `most`.
pub fn widest<'t>(texts: impl IntoIterator<Item = &'t str>, most: usize) -> usize {
    texts.into_iter().map(|text| text.chars().count()).max().unwrap_or(0).min(most)
}

/// A span as people say it.
pub fn span(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1_000, ms / 100 % 10),
        10_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// How long what is counted took, behind the count, where that is known.
pub fn of(ms: Option<u64>) -> String {
    ms.map(|ms| format!(" of {}", span(ms))).unwrap_or_default()
}

/// Bytes as people say them.
pub fn bytes(count: u64) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{} KiB", count >> 10),
        10_485_760..10_737_418_240 => format!("{} MiB", count >> 20),
        _ => format!("{} GiB", count >> 30),
    }
}

/// A wall clock's milliseconds as date and time, UTC.
pub fn clock(wall_ms: u64) -> String {
    use time::macros::format_description;
    let format =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
    let nanos = i128::from(wall_ms) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| "?".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_afar_cannot_move_the_cursor() {
        let mut sheet = Sheet::new(false);
        sheet.put(Ink::Bad, "bad\x1b[2Jthing\r\n\u{202e}").end();
        assert_eq!(sheet.finish(), "bad\u{fffd}[2Jthing\u{fffd}\u{fffd}\u{fffd}\n");
    }

    #[test]
    fn long_names_are_cut_and_long_lines_are_broken() {
        assert_eq!(fit("hetzner-falkenstein", 10), "hetzner-f…");
        assert_eq!(wrap("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrap("", 6), [""]);
    }

    #[test]
    fn spans_bytes_and_clocks_read_as_people_say_them() {
        assert_eq!([0, 950, 47_310, 600_000].map(span), ["0.0 s", "0.9 s", "47 s", "10 min"]);
        assert_eq!([0, 65_536, 1 << 30].map(bytes), ["0 B", "64 KiB", "1024 MiB"]);
        assert_eq!(clock(1_773_457_927_012), "2026-03-14 03:12:07.012");
    }
}
