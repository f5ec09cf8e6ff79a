//! The campaign: each mutant of a running kernel, under the testbed that should notice it.
//!
//! A kernel is booted once. Its calls are found, the scenarios that reach each of them are measured ([`Prepared`]), and it
//! is kept as it is. A trial restores it, runs the chosen scenarios unchanged (the control), patches, and runs them again. What a
//! mutant comes to is judged from its trials alone ([`judge`]).

mod choose;
mod explain;
mod judge;
mod prepared;
mod result;
mod run;
mod store;
mod trial;

pub use choose::{Chosen, choose, group};
pub use judge::{Judgement, judge};
pub use prepared::{Prepared, Reach, Settings};
pub use result::{CampaignReport, Control, Fate, KernelSites, Kill, MutantResult, Outcome, PatchShown, SiteShown, Trial};
pub use run::{Campaign, CampaignError, Watching, run};
pub use store::{Store, StoreError};
