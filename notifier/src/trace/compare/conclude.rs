//! What follows from the numbers of a comparison, and the words for it.

use super::{
    Recorded,
    diff::{
        Comparison, ComparisonVerdict, Evidence, LatencyChange, LatencyDiff, Magnitude, OperationDiff, OrderChange, OrderDiff,
        Side,
    },
};

impl Side {
    pub(super) fn of(recorded: Recorded<'_>) -> Self {
        let profile = recorded.profile;
        let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
        Self {
            path: recorded.path.to_owned(),
            verdict: profile.verdict,
            title: profile.title.clone(),
            command: profile.command.clone(),
            kernel: profile.kernel.clone(),
            cpu: profile.cpu.clone(),
            cpus: profile.cpus,
            mmu: profile.mmu,
            probes: profile.probes,
            seconds: profile.seconds,
            events: profile.events,
            lost_events: sum(&mut profile.lost.iter().map(|lost| lost.events)),
            truncated: profile.truncated.clone(),
            invalidations: sum(&mut profile.operations.iter().map(|operation| operation.invalidations)),
        }
    }
}

impl Comparison {
    /// The orders that are relevant to a rule, with their operations.
    pub fn relevant_orders(&self) -> impl Iterator<Item = (&OperationDiff, &OrderDiff)> {
        let orders = self.operations.iter().flat_map(|operation| operation.orders.iter().map(move |order| (operation, order)));
        orders.filter(|(_, order)| order.relevant)
    }

    /// How many tests were made that could have shown something.
    #[must_use]
    pub fn tests(&self) -> usize {
        let orders =
            |operation: &OperationDiff| operation.orders.iter().filter(|order| order.evidence.p_of_all.is_some()).count();
        let times =
            |operation: &OperationDiff| operation.latencies.iter().filter(|time| time.evidence.p_of_all.is_some()).count();
        self.operations.iter().map(|operation| orders(operation) + times(operation)).sum()
    }
}

impl OrderChange {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::More => "more",
            Self::Fewer => "fewer",
            Self::Spread => "spread otherwise",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

impl LatencyChange {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Longer => "longer",
            Self::Shorter => "shorter",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

impl ComparisonVerdict {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingRelevant => "nothing relevant",
            Self::Relevant => "relevant",
            Self::Incomparable => "incomparable",
        }
    }
}

impl OrderDiff {
    /// Draws the conclusion from a test.
    pub(super) fn judge(&mut self) {
        self.change = match (self.a.invalidations, self.b.invalidations, self.evidence) {
            (0, ..) => OrderChange::New,
            (_, 0, _) => OrderChange::Gone,
            (.., Evidence { p_of_all: None, .. }) => OrderChange::Unknown,
            (.., Evidence { confident: false, .. }) => OrderChange::Same,
            (.., Evidence { is_more: true, .. }) if self.b.share > self.a.share => OrderChange::More,
            (.., Evidence { is_more: false, .. }) if self.b.share < self.a.share => OrderChange::Fewer,
            _ => OrderChange::Spread,
        };
    }
}

impl LatencyDiff {
    /// Draws the conclusion from a test.
    pub(super) fn judge(&mut self) {
        self.change = match self.evidence {
            Evidence { p_of_all: None, .. } => LatencyChange::Unknown,
            Evidence { confident: false, .. } => LatencyChange::Same,
            Evidence { is_more: true, .. } => LatencyChange::Longer,
            _ => LatencyChange::Shorter,
        };
    }

    /// How far the two lie apart (J. Romano and others, *Appropriate statistics for ordinal level data*, 2006).
    #[must_use]
    pub fn magnitude(&self) -> Magnitude {
        match self.cliffs_delta.abs() {
            delta if delta < 0.147 => Magnitude::Negligible,
            delta if delta < 0.33 => Magnitude::Small,
            delta if delta < 0.474 => Magnitude::Medium,
            _ => Magnitude::Large,
        }
    }
}

impl Magnitude {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Negligible => "negligible",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}
