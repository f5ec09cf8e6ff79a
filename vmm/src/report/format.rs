//! The forms that `--format` offers.

use super::{HumanOptions, RunReport, human, json, junit, ktap};
use clap::ValueEnum;
use std::{fmt, str::FromStr};
use thiserror::Error;

/// The form of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum Format {
    /// A table and what went wrong, for people.
    #[default]
    Human,
    /// One JSON document, for programs.
    Json,
    /// KTAP version 1, for the kernel's test tools.
    Ktap,
    /// JUnit XML, for continuous integration.
    Junit,
}

/// No format has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown format '{0}'; there are human, json, ktap and junit")]
pub struct UnknownFormat(pub String);

impl Format {
    /// Every format there is.
    pub const ALL: [Self; 4] = [Self::Human, Self::Json, Self::Ktap, Self::Junit];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
            Self::Ktap => "ktap",
            Self::Junit => "junit",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// The report in this form, ending in a newline.
#[must_use]
pub fn render(report: &RunReport, format: Format, options: &HumanOptions) -> String {
    match format {
        Format::Human => human::render(report, options),
        Format::Json => json::render(report),
        Format::Ktap => ktap::render(&report.scenarios, &report.notes, options.ticks_per_us),
        Format::Junit => junit::render(report, options.ticks_per_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_command_line_and_the_library_call_them_the_same() {
        for format in Format::ALL {
            let offered = format.to_possible_value().expect("none is hidden");
            assert_eq!(offered.get_name(), format.name());
            assert_eq!(format.to_string().parse(), Ok(format));
            let text = render(&sample::run(), format, &HumanOptions { width: 100, color: false, ticks_per_us: 3000.0 });
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{format}: {text}");
        }
        assert_eq!(Format::value_variants(), Format::ALL);
        let error = "xml".parse::<Format>().expect_err("there is none");
        assert!(Format::ALL.iter().all(|format| error.to_string().contains(format.name())), "{error}");
    }
}
