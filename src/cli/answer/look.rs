//! How things are drawn: width, colour, and what of a stranger's text reaches the terminal.

use std::io::IsTerminal;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

/// Width where there is no terminal, and the most that is used of one: longer lines are hard to read.
const WIDTHS: (u16, u16) = (80, 110);

/// Terminals that claim less do not know (a bare pty says 0).
const NARROWEST: u16 = 40;

/// How things are drawn.
pub(in crate::cli) struct Look {
    color: bool,
    width: u16,
}

impl Look {
    /// With this width, and colour or none, whatever the terminal.
    pub(in crate::cli) fn of(color: bool, width: u16) -> Self {
        Self { color, width }
    }

    /// For standard output: colour only on a terminal, and only where nobody objects (<https://no-color.org>).
    pub(in crate::cli) fn new(wanted: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stdout().is_terminal();
        let (usual, most) = WIDTHS;
        let width = Table::new().width().filter(|width| terminal && *width >= NARROWEST).unwrap_or(usual).min(most);
        Self::of(wanted && terminal && !set("NO_COLOR") && !dumb, width)
    }

    /// A table without borders.
    pub(in crate::cli) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width);
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table
    }

    /// A word that stands out.
    pub(in crate::cli) fn cell(&self, text: &str, color: Color) -> Cell {
        let cell = Cell::new(text);
        if self.color { cell.fg(color).add_attribute(Attribute::Bold) } else { cell }
    }
}

/// Names in certificates, files and Secrets are a stranger's text: no control character reaches the terminal.
pub(in crate::cli) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Without the blanks at the ends of lines, and without the first column's.
pub(in crate::cli) fn lines(table: &Table) -> String {
    let text = table.trim_fmt();
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}
