//! Options of `nostale matrix`.

use super::super::size::{Size, parse_seconds, parse_seed};
use super::MachineOptions;
use crate::{live::Plant, machine::Layout};
use clap::Args;
use std::time::Duration;

/// Options of `nostale matrix`.
#[derive(Args, Debug)]
pub(in crate::cli) struct MatrixOptions {
    /// A kernel: a Debian version (6.1, 6.12.95, fetched with apt), a .deb, a directory, or a bzImage, with :DIR for its modules
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME|PATH")]
    pub(in crate::cli) kernel: Vec<String>,
    /// Operations, or several at once on the same pages (mremap+migrate), or `all` [default: a plan that covers each]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(in crate::cli) ops: Option<Vec<String>>,
    /// Kinds of guest memory, or `all` [default: those on which an operation takes different paths through the kernel]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(in crate::cli) backing: Option<Vec<String>>,
    /// vCPUs of each VM in there
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(in crate::cli) vcpus: usize,
    /// Threads in there that write beside the guest
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) host_writers: usize,
    /// Guest memory under test, in bytes or with K, M, G
    #[arg(long, value_name = "SIZE", default_value = "16M")]
    pub(in crate::cli) memory: Size,
    /// Time for the whole plan in each kernel
    #[arg(long, value_name = "S", default_value = "30", value_parser = parse_seconds)]
    pub(in crate::cli) seconds: Duration,
    /// Where everything random comes from, the same in all kernels [default: a new one each time]
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    pub(in crate::cli) seed: Option<u64>,
    /// How long a vCPU may be without progress before it counts as stuck; emulated on a busy host, that is long
    #[arg(long, value_name = "S", default_value = "20", value_parser = parse_seconds)]
    pub(in crate::cli) stall_bound: Duration,
    /// Stop a kernel's run at its first violation
    #[arg(long)]
    pub(in crate::cli) until_violation: bool,
    /// See an oracle fail: plant a fault (see `nostale run --help`)
    #[arg(long, value_name = "FAULT", value_parser = |name: &str| name.parse::<Plant>())]
    pub(in crate::cli) plant: Option<Plant>,
    /// How memory appears in the guest: plain, split, alias, unaligned [default: drawn from the seed for each scenario]
    #[arg(long, value_name = "LAYOUT", value_parser = |name: &str| name.parse::<Layout>())]
    pub(in crate::cli) layout: Option<Layout>,
    /// Record the kernel's own events in there, too, and hold their order against the rules
    #[arg(long)]
    pub(in crate::cli) trace: bool,
    #[command(flatten)]
    pub(in crate::cli) machine: MachineOptions,
}
