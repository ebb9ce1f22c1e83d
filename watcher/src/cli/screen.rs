//! What people read at a terminal: how wide it is, whether it shows colours, and tables that fit it.
//!
//! Colour says nothing that the words beside it do not say. Nothing here knows what a table is about.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

use crate::alerts::clean;

/// Where something is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Screen {
    /// How many columns there are; `None` where it is no terminal and nothing has to fit.
    pub width: Option<usize>,
    /// Whether colours are shown.
    pub colour: bool,
}

/// What a colour stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Worth a look.
    Odd,
    /// A heading.
    Head,
}

impl Screen {
    /// The standard output. It has no colours where `NO_COLOR` is set or `TERM` is `dumb` (no-color.org).
    pub fn stdout() -> Screen {
        let out = io::stdout();
        let size = out.is_terminal().then(|| tcgetwinsize(&out).ok()).flatten();
        Screen {
            // A terminal of no size, as a serial line has, is not fitted.
            width: size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0),
            colour: AutoStream::choice(&out) != ColorChoice::Never,
        }
    }

    /// A text in the colour of its tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let style = match tone {
            _ if !self.colour => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Odd => AnsiColor::Yellow.on_default(),
            Tone::Head => Style::new().bold(),
        };
        format!("{style}{text}{style:#}")
    }

    /// A table with a heading. The columns that need the most, but for the first, give way until it fits; what is cut ends with `…`.
    pub fn table<const COLUMNS: usize>(
        &self,
        head: [&str; COLUMNS],
        rows: &[(Tone, [String; COLUMNS])],
    ) -> String {
        let rows: Vec<_> =
            rows.iter().map(|(tone, cells)| (*tone, cells.each_ref().map(|c| clean(c)))).collect();
        let head = head.map(str::to_owned);
        let mut widths = head.each_ref().map(|cell| cell.width());
        for (_, cells) in &rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.width());
            }
        }
        if let Some(most) = self.width {
            narrow(&mut widths, most.saturating_sub(BETWEEN * COLUMNS.saturating_sub(1)));
        }
        let mut text = String::new();
        for (tone, cells) in std::iter::once((Tone::Head, &head)).chain(rows.iter().map(|(t, c)| (*t, c))) {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let cell = cut(cell, width);
                let _ = write!(line, "{cell}{:1$}", "", width.saturating_sub(cell.width()) + BETWEEN);
            }
            let _ = writeln!(text, "{}", self.paint(tone, line.trim_end()));
        }
        text
    }
}

/// The blanks between two columns.
const BETWEEN: usize = 2;

/// Narrower than this no column becomes.
const NARROWEST: usize = 6;

/// Takes from the widest until all fit; from the first, which says what the line is about, only at last.
fn narrow(widths: &mut [usize], most: usize) {
    while widths.iter().sum::<usize>() > most {
        let Some((first, others)) = widths.split_first_mut() else { return };
        match others.iter_mut().max().filter(|widest| **widest > NARROWEST) {
            Some(widest) => *widest -= 1,
            None if *first > NARROWEST => *first -= 1,
            None => return,
        }
    }
}

/// The beginning of a text that is no wider than this.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if format!("{kept}{c}").width() >= width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> String {
        let row = |cells: [&str; 3]| (Tone::Plain, cells.map(str::to_owned));
        Screen { width, colour: false }.table(
            ["TIME", "VALUE", "BY"],
            &[
                row(["10:00", "60 -> 61", "sysctl (pid 7, uid 0, parent bash 4)"]),
                row(["10:01", "日本語", "a\u{1b}[2J"]),
            ],
        )
    }

    #[test]
    fn a_table_that_goes_to_no_terminal_is_whole() {
        insta::assert_snapshot!(table(None), @r#"
        TIME   VALUE     BY
        10:00  60 -> 61  sysctl (pid 7, uid 0, parent bash 4)
        10:01  日本語    a\u{1b}[2J
        "#);
    }

    #[test]
    fn a_table_fits_the_terminal_and_shows_where_it_was_cut() {
        insta::assert_snapshot!(table(Some(36)), @r#"
        TIME   VALUE     BY
        10:00  60 -> 61  sysctl (pid 7, uid…
        10:01  日本語    a\u{1b}[2J
        "#);
        for width in 24..80 {
            assert!(table(Some(width)).lines().all(|line| line.width() <= width), "of {width}");
        }
        assert!(!table(Some(1)).is_empty(), "one that cannot fit is shown all the same");
    }

    #[test]
    fn colour_is_around_the_words_and_only_where_it_is_shown() {
        let painted = Screen { width: None, colour: true }.paint(Tone::Bad, "drift");
        assert!(painted.contains("drift") && painted.starts_with('\u{1b}') && painted.ends_with('m'));
        assert_eq!(Screen::default().paint(Tone::Bad, "drift"), "drift");
    }
}
