//! What a measurement prints: one line with value, reference, ratio, bar and whether the bar is held.

use std::{fmt, io::Write as _};

/// What a number is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    /// At least so much.
    AtLeast(f64),
    /// Less than so much.
    Below(f64),
}

/// The lines so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    held: usize,
    missed: Vec<String>,
}

impl Bar {
    fn held(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bar) => value >= bar,
            Self::Below(bar) => value < bar,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bar) => write!(f, ">= {bar}"),
            Self::Below(bar) => write!(f, "< {bar}"),
        }
    }
}

impl Report {
    /// Nothing measured yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A number held to a bar, or to none.
    pub(crate) fn measured(
        &mut self,
        what: &str,
        value: f64,
        unit: &str,
        bar: Option<Bar>,
    ) -> anyhow::Result<()> {
        let verdict = bar.map(|bar| self.judge(what, bar, value));
        self.print(what, &format!("{} {unit}", number(value)), "", bar, verdict)
    }

    /// A rate whose ratio to a reference of the same run is held to a bar, or to none.
    pub(crate) fn compared(
        &mut self,
        what: &str,
        value: f64,
        reference: f64,
        unit: &str,
        bar: Option<Bar>,
    ) -> anyhow::Result<()> {
        let ratio = value / reference;
        let verdict = bar.map(|bar| self.judge(what, bar, ratio));
        let reference = format!("reference {} {unit}, ratio {ratio:.2}", number(reference));
        self.print(what, &format!("{} {unit}", number(value)), &reference, bar, verdict)
    }

    /// Something that could not be measured here.
    pub(crate) fn skipped(&mut self, what: &str, why: &str) -> anyhow::Result<()> {
        line(&format!("{what:<58} skipped: {why}"))
    }

    /// A word on how it was measured.
    pub(crate) fn note(&mut self, text: &str) -> anyhow::Result<()> {
        line(&format!("# {text}"))
    }

    /// The last line: how many bars are held, and which are not.
    pub(crate) fn conclude(&self) -> anyhow::Result<()> {
        let all = self.held + self.missed.len();
        line(&format!("# {} of {all} bars held", self.held))?;
        for what in &self.missed {
            line(&format!("# missed: {what}"))?;
        }
        Ok(())
    }

    fn judge(&mut self, what: &str, bar: Bar, value: f64) -> &'static str {
        if bar.held(value) {
            self.held += 1;
            return "held";
        }
        self.missed.push(what.to_owned());
        "MISSED"
    }

    fn print(
        &mut self,
        what: &str,
        value: &str,
        reference: &str,
        bar: Option<Bar>,
        verdict: Option<&str>,
    ) -> anyhow::Result<()> {
        let bar = bar.map_or_else(|| "no bar".to_owned(), |bar| format!("bar {bar}"));
        let verdict = verdict.unwrap_or("-");
        line(&format!("{what:<58} {value:>18}  {reference:<44} {bar:<12} {verdict}"))
    }
}

/// Three significant digits are what a measurement here is worth.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_held_or_missed() {
        for (bar, value, held) in [
            (Bar::AtLeast(0.6), 0.6, true),
            (Bar::AtLeast(0.6), 0.59, false),
            (Bar::Below(20.0), 19.9, true),
            (Bar::Below(20.0), 20.0, false),
            (Bar::Below(20.0), f64::NAN, false),
            (Bar::AtLeast(0.6), f64::NAN, false),
        ] {
            assert_eq!(bar.held(value), held, "{value} {bar}");
        }
    }

    #[test]
    fn missed_bars_are_remembered() {
        let mut report = Report::new();
        report.compared("a", 6.0, 10.0, "pages/s", Some(Bar::AtLeast(0.6))).expect("because stdout is open");
        report.measured("b", 30.0, "ms", Some(Bar::Below(25.0))).expect("because stdout is open");
        report.measured("c", 30.0, "ms", None).expect("because stdout is open");
        assert_eq!((report.held, report.missed), (1, vec!["b".to_owned()]));
    }
}
