//! Live runs: scenarios on real KVM, their threads, and the judgement on what they did.

mod config;
mod judge;
mod knobs;
mod log;
mod plan;
mod plant;
mod run;
mod runner;
mod session;
mod storm;
mod third;
mod threads;
mod verdict;
mod watching;
mod writer;

pub use config::{Choices, Config, Impossible};
pub use plan::{PlanError, Scenario, default_plan, plan};
pub use plant::{Plant, UnknownPlant};
pub use run::{Hooks, NoHooks, run};
pub use session::{SessionError, bare_rate, run_scenario};
pub(crate) use verdict::memory as memory_option;
