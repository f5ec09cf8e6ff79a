//! Whether a profile is one: it may come from a file that anybody has written.

use crate::trace::profile::{BATCHES, Latency, OperationProfile, Profile, VERSION};
use std::collections::BTreeSet;
use thiserror::Error;

/// What is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadProfile {
    /// A schema of the future.
    #[error("a profile of version {0}: this nostale reads version {VERSION}")]
    Version(u32),
    /// It lists an operation twice.
    #[error("operation '{0}' is listed twice; the file was changed")]
    Twice(String),
    /// Counts in batches are not what they should add up to.
    #[error("operation '{operation}': the batches of order {number} do not add up to its count; the file was changed")]
    Batches {
        /// Which operation.
        operation: String,
        /// Which of its orders, counted from 1.
        number: usize,
    },
    /// A distribution does not have as many times as it should.
    #[error(
        "operation '{operation}': the histogram of times from {from} to {to} does not add up to their count; the file was changed"
    )]
    Histogram {
        /// Which operation.
        operation: String,
        /// From this stage
        from: &'static str,
        /// to this one.
        to: &'static str,
    },
}

/// Makes sure that numbers which depend on each other agree.
///
/// # Errors
/// The first that do not.
pub fn check(profile: &Profile) -> Result<(), BadProfile> {
    if profile.version != VERSION {
        return Err(BadProfile::Version(profile.version));
    }
    let mut names = BTreeSet::new();
    for operation in &profile.operations {
        if !names.insert(&operation.name) {
            return Err(BadProfile::Twice(operation.name.clone()));
        }
        check_operation(operation)?;
    }
    Ok(())
}

fn check_operation(operation: &OperationProfile) -> Result<(), BadProfile> {
    for (number, order) in (1..).zip(&operation.signatures) {
        if order.batches.len() != BATCHES || sum(order.batches.iter()) != Some(order.count) {
            return Err(BadProfile::Batches { operation: operation.name.clone(), number });
        }
    }
    let adds_up = |time: &Latency| {
        let counts = sum(time.histogram.iter().map(|(_, count)| count));
        counts == Some(time.count) && time.batch_medians_ns.len() == BATCHES
    };
    match operation.latencies.iter().find(|time| !adds_up(time)) {
        Some(Latency { from, to, .. }) => {
            Err(BadProfile::Histogram { operation: operation.name.clone(), from: from.name(), to: to.name() })
        }
        None => Ok(()),
    }
}

fn sum<'a>(mut numbers: impl Iterator<Item = &'a u64>) -> Option<u64> {
    numbers.try_fold(0, |sum: u64, number| sum.checked_add(*number))
}
