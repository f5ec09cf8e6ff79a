//! What the same run came to in several kernels, and its forms. As elsewhere the structures here *are* the JSON schema, and
//! fields are only ever added.

mod forms;
mod human;
mod kernels;
#[cfg(test)]
pub(in crate::report) mod sample;
mod skipped;
mod table;
#[cfg(test)]
mod tests;

pub use forms::render;

use super::{Host, ScenarioResult, Setup, Verdict, text::clean};
use nostale_notifier::trace::profile::Profile;
use serde::{Deserialize, Serialize};

/// Exit status of a matrix that was told to stop: what it found until then is not what was asked for.
const INCONCLUSIVE: u8 = 3;

/// The same run in several kernels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MatrixReport {
    /// Version of this schema.
    pub version: u32,
    /// The worst of all kernels.
    pub verdict: Verdict,
    /// Everything random came from this, in every kernel.
    pub seed: u64,
    /// How the runs were set up.
    pub setup: MatrixSetup,
    /// Said to be over before its end, by a signal.
    pub interrupted: bool,
    /// One for each, in the order in which they were asked for.
    pub kernels: Vec<KernelResult>,
    /// What the user should know beside that.
    pub notes: Vec<String>,
}

/// How the runs were set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MatrixSetup {
    /// The small VM in each kernel.
    #[serde(flatten)]
    pub run: Setup,
    /// Time for the whole plan in each kernel.
    pub seconds: f64,
    /// A deliberately wrong host.
    pub plant: Option<String>,
    /// The machine on which each kernel runs.
    pub machine: MachineShape,
}

/// The machine on which a kernel under test runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineShape {
    /// Its CPUs.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// NUMA nodes among which both are divided.
    pub nodes: u32,
    /// Words added to the kernel's command line.
    pub append: Vec<String>,
}

/// What the run came to in one kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KernelResult {
    /// What the user wrote.
    pub asked: String,
    /// `uname -r`.
    pub release: Option<String>,
    /// Where the kernel came from: a Debian package, or a path.
    pub origin: Option<String>,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// The emulator and its version.
    pub emulator: String,
    /// The secondary MMU in there: `npt`, `ept`, `shadow` or `unknown`.
    pub mmu: Option<String>,
    /// What is known about the machine in there, in a few words.
    pub host: Option<Host>,
    /// From QEMU's start to the kernel's first request, when it came up first.
    pub boot_seconds: Option<f64>,
    /// Everything: booting, running, and running again what had to be confirmed.
    pub seconds: f64,
    /// The judgement.
    pub verdict: Verdict,
    /// Why, when it is not *coherent*.
    pub reason: Option<String>,
    /// Whether what went wrong was seen again in a second machine. `None` when nothing did, or where it counts at once.
    pub confirmed: Option<bool>,
    /// Each scenario, as `nostale run` has it.
    pub scenarios: Vec<ScenarioResult>,
    /// What the console complained of.
    pub alarms: Vec<AlarmResult>,
    /// What the user should know beside that.
    pub notes: Vec<String>,
    /// What came out of the machine and was no message, or not a whole one.
    pub damaged: Vec<String>,
    /// What the kernel's own events came to, where they were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Profile>>,
    /// What is kept with `--out`.
    #[serde(skip)]
    pub logs: KernelLogs,
}

/// A complaint on a kernel's console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmResult {
    /// `BUG`, `Oops`, `WARN` and so on.
    pub kind: String,
    /// The message.
    pub text: String,
    /// Whether it is about guests or pages, and not possibly the emulation's fault.
    pub signature: bool,
}

/// What a kernel and its machines left.
#[derive(Clone, Debug, Default)]
pub struct KernelLogs {
    /// The console of each machine, in their order.
    pub consoles: Vec<String>,
    /// What the kernel said when something went wrong with all of it.
    pub last_words: Vec<String>,
    /// The kernel log during the scenarios, as it was read inside.
    pub kernel: Vec<String>,
    /// Ticks of the time stamp counter in a microsecond, for the times in results.
    pub ticks_per_us: f64,
}

impl MatrixReport {
    /// The exit status of the whole.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self.verdict.exit_status() {
            status if self.interrupted && status != Verdict::Violation.exit_status() => INCONCLUSIVE,
            status => status,
        }
    }
}

impl KernelResult {
    /// A column without a run.
    #[must_use]
    pub fn without_run(asked: &str, verdict: Verdict, reason: String) -> Self {
        Self {
            asked: asked.to_owned(),
            release: None,
            origin: None,
            accelerator: String::new(),
            emulator: String::new(),
            mmu: None,
            host: None,
            boot_seconds: None,
            seconds: 0.0,
            verdict,
            reason: Some(reason),
            confirmed: None,
            scenarios: Vec::new(),
            alarms: Vec::new(),
            notes: Vec::new(),
            damaged: Vec::new(),
            trace: None,
            logs: KernelLogs::default(),
        }
    }

    /// The result of a scenario in it.
    fn scenario(&self, (name, backing): (&str, &str)) -> Option<&ScenarioResult> {
        self.scenarios.iter().find(|scenario| scenario.name == name && scenario.backing == backing)
    }

    /// What the user called it, if that is short; else what it calls itself.
    #[must_use]
    pub fn name(&self) -> String {
        let path = self.asked.contains('/');
        let name = if path { self.release.as_ref().unwrap_or(&self.asked) } else { &self.asked };
        clean(name)
    }
}

/// The scenarios of all kernels, each once, in the order in which they ran.
fn rows(kernels: &[KernelResult]) -> Vec<(&str, &str)> {
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for scenario in kernels.iter().flat_map(|kernel| &kernel.scenarios) {
        let row = (scenario.name.as_str(), scenario.backing.as_str());
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}
