//! The account that the demo gives in the terminal: who does or says what, and when.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use regex::Regex;

/// No line is longer than this …
const WIDTH: usize = 100;
/// … or than the terminal, unless that is narrower than this.
const NARROWEST: usize = 60;
/// Where the text of a line begins: after its time and who it is about.
const INDENT: usize = 26;
/// A fingerprint is shown by its first digits.
const SHOWN: usize = 8;

/// Who a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The machinery of the demo itself.
    Stage,
    /// The person whose certificate it is.
    You,
    /// Somebody who interferes.
    Somebody,
    /// certkeeper, in its own words.
    Certkeeper,
    /// What handshakes with the gateways prove.
    Gateways,
}

impl Actor {
    fn name(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::You => "you",
            Self::Somebody => "somebody",
            Self::Certkeeper => "certkeeper",
            Self::Gateways => "gateways",
        }
    }

    fn paint(self) -> Paint {
        match self {
            Self::Stage => Paint::Dim,
            Self::You => Paint::Bold,
            Self::Somebody => Paint::Yellow,
            Self::Certkeeper => Paint::Cyan,
            Self::Gateways => Paint::Magenta,
        }
    }
}

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
    Magenta,
}

impl Paint {
    /// The number of ECMA-48's "select graphic rendition".
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "1;31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
            Self::Magenta => "35",
        }
    }
}

/// Writes the account to standard output, each line as soon as it is known.
#[derive(Debug)]
pub(crate) struct Account {
    began: Instant,
    colour: bool,
    terminal: bool,
    width: usize,
    fingerprint: Option<Regex>,
}

impl Account {
    /// An account that begins now. Colour is for terminals, and not for those who set `NO_COLOR` (no-color.org).
    pub(crate) fn begin() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = io::stdout().is_terminal();
        let colour = terminal && !set("NO_COLOR") && !dumb;
        let columns = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let width = columns.filter(|_| terminal).unwrap_or(WIDTH).clamp(NARROWEST, WIDTH);
        Self { began: Instant::now(), colour, terminal, width, fingerprint: Regex::new("[0-9a-f]{64}").ok() }
    }

    /// Whether somebody looks on.
    pub(crate) fn is_watched(&self) -> bool {
        self.terminal
    }

    /// How long it has been going on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A paragraph over the whole width.
    pub(crate) fn paragraph(&self, paint: Paint, text: &str) {
        for line in wrap(text, self.width - 2) {
            self.put(&format!("  {}", self.painted(paint, &line)));
        }
    }

    /// An empty line.
    pub(crate) fn blank(&self) {
        self.put("");
    }

    /// The heading of a step, and a line on why it matters.
    pub(crate) fn heading(&self, number: usize, title: &str, why: &str) {
        self.blank();
        self.put(&self.painted(Paint::Bold, &format!("{number:>3}  {title}")));
        for line in wrap(why, self.width - 5) {
            self.put(&format!("     {}", self.painted(Paint::Dim, &line)));
        }
    }

    /// What somebody does or says; `lead` begins it and is painted.
    pub(crate) fn line(&self, actor: Actor, paint: Paint, lead: &str, text: &str) {
        let text = self.shortened(&format!("{lead}{text}"));
        let name = self.painted(actor.paint(), &format!("{:<10}", actor.name()));
        let time = self.painted(Paint::Dim, &format!("{:>8.2} s", self.began.elapsed().as_secs_f64()));
        let mut begin = format!("  {time}  {name}  ");
        for line in wrap(&text, self.width - INDENT) {
            let line = match line.strip_prefix(lead) {
                Some(rest) if !lead.is_empty() => format!("{}{rest}", self.painted(paint, lead)),
                _ => line,
            };
            self.put(&format!("{begin}{line}"));
            begin = " ".repeat(INDENT);
        }
    }

    /// A line without a lead.
    pub(crate) fn says(&self, actor: Actor, text: &str) {
        self.line(actor, Paint::Plain, "", text);
    }

    /// How a step ended, in the place of an actor.
    pub(crate) fn verdict(&self, paint: Paint, word: &str, text: &str) {
        let text = self.shortened(text);
        let word = self.painted(paint, &format!("{word:<10}"));
        let mut begin = format!("{:14}{word}  ", "");
        for line in wrap(&text, self.width - INDENT) {
            self.put(&format!("{begin}{line}"));
            begin = " ".repeat(INDENT);
        }
    }

    /// A row of the summary.
    pub(crate) fn row(&self, name: &str, paint: Paint, value: &str) {
        let mut name = format!("  {name:<24}");
        for line in wrap(value, self.width - INDENT) {
            self.put(&format!("{name}{}", self.painted(paint, &line)));
            name = " ".repeat(INDENT);
        }
    }

    /// Fingerprints cut to what a reader can compare.
    fn shortened(&self, text: &str) -> String {
        let Some(fingerprint) = &self.fingerprint else { return text.to_owned() };
        fingerprint.replace_all(text, |found: &regex::Captures<'_>| short(&found[0])).into_owned()
    }

    fn painted(&self, paint: Paint, text: &str) -> String {
        if !self.colour || paint == Paint::Plain {
            text.to_owned()
        } else {
            format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code())
        }
    }

    /// A reader that went away (`| head`) is no reason to end: the exit code still tells.
    fn put(&self, line: &str) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{}", line.trim_end()).and_then(|()| out.flush());
    }
}

/// The first digits of a fingerprint.
pub(crate) fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(SHOWN).collect()
}

/// Milliseconds as people read them.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}

/// Breaks a text into lines of at most `width` characters, at blanks where there are any.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if !line.is_empty() && line.chars().count() + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
        }
        while word.len() > width {
            lines.push(word.drain(..width).collect());
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_at_blanks_and_only_words_that_are_too_long_are_cut() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one abcdefghij", 4), ["one", "abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
