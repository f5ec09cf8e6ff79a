//! Why a kernel under test could not be used at all.

use crate::{
    inside::SymbolsError,
    kernels::{InitramfsError, ProgramError},
    qemu::{Ending, QemuError},
};
use std::{path::PathBuf, time::Duration};
use thiserror::Error;

/// A kernel under test could not be brought to where it takes requests, or be changed.
#[derive(Debug, Error)]
pub enum L1Error {
    /// QEMU.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The program cannot be put into an initramfs.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Nor can the modules.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// A file of ours.
    #[error("cannot write {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel ended before it was ready.
    #[error("{release} did not come up: {ending}{}", last_words(console))]
    Died {
        /// The kernel.
        release: String,
        /// How the machine ended.
        ending: Ending,
        /// What the kernel had printed.
        console: String,
    },
    /// The kernel did not say that it is ready.
    #[error("{release} was not ready after {} s{}", limit.as_secs(), last_words(console))]
    Silent {
        /// The kernel.
        release: String,
        /// How long was waited.
        limit: Duration,
        /// What the kernel had printed.
        console: String,
    },
    /// It was given up while it booted, or before it had answered.
    #[error("{release}: interrupted before there was a result")]
    Interrupted {
        /// The kernel.
        release: String,
    },
    /// It is up, but has no KVM.
    #[error(
        "{release} is up, but offers no KVM{}: build it with CONFIG_KVM and CONFIG_KVM_AMD, or give its modules with IMAGE:DIR",
        reasons(why)
    )]
    NoKvm {
        /// The kernel.
        release: String,
        /// What became of its modules.
        why: Vec<String>,
    },
    /// The agent could not do what it was asked to.
    #[error("{release}: {what}")]
    Refused {
        /// The kernel.
        release: String,
        /// Why.
        what: String,
    },
    /// The machine ended, or fell silent, in the middle of an answer.
    #[error("{release} gave no whole answer: {end}{}", said.as_ref().map_or_else(String::new, |said| format!("; the kernel had said: {said}")))]
    Lost {
        /// The kernel.
        release: String,
        /// How it ended.
        end: String,
        /// What its kernel had complained of.
        said: Option<String>,
    },
    /// The symbols arrived damaged.
    #[error(transparent)]
    Symbols(#[from] SymbolsError),
    /// The text is not what the patch was made for.
    #[error("{place} holds {found}, not {expected}: the kernel is not the one that was read")]
    Changed {
        /// Where.
        place: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
}

impl L1Error {
    /// Whether a machine ended or fell silent before it had done anything that it was to be judged by. Emulated ones do so now and then,
    /// and another one may not.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Died { .. } | Self::Silent { .. } | Self::Lost { .. })
    }
}

/// The end of a console, on a line of its own.
fn last_words(console: &str) -> String {
    let lines: Vec<_> = console.lines().rev().filter(|line| !line.trim().is_empty()).take(4).collect();
    if lines.is_empty() {
        return "; its console is empty".to_owned();
    }
    lines.into_iter().rev().fold("; the end of its console:".to_owned(), |text, line| text + "\n  " + line.trim_end())
}

fn reasons(why: &[String]) -> String {
    if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) }
}
