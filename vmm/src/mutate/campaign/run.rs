//! The campaign itself: every mutant through its trials, several at a time, with results kept as they come.

use super::{
    CampaignReport, Chosen, Control, Fate, Judgement, KernelSites, MutantResult, PatchShown, Prepared, Settings, SiteShown,
    Store, StoreError, Trial, choose,
    explain::{self, Ways},
    group, judge,
    judge::{evidence, quiet, unseen},
    trial::trial,
};
use crate::{
    inside::{Event, Pair, Plan},
    l1::{Boot, L1Error},
    live::memory_option,
    matrix::quoted,
    mutate::{Change, Group, Mutant, Patch, Site, SymbolsError, TextError},
    qemu::Accel,
    report::Verdict,
};
use nostale_notifier::near::did_you_mean;
use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};
use thiserror::Error;

/// A campaign that could not go on.
#[derive(Debug, Error)]
pub enum CampaignError {
    /// The kernel under test, or QEMU.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// Its symbols cannot be understood.
    #[error(transparent)]
    Symbols(#[from] SymbolsError),
    /// Its text cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Results cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No mutant has a name like that.
    #[error("no mutant of {release} is called like '{wanted}'{}; `--list` shows all", did_you_mean(wanted, names.iter().map(String::as_str)))]
    NoSuchMutant {
        /// The kernel.
        release: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        names: Vec<String>,
    },
}

/// Is told how a campaign goes, from several threads.
pub trait Watching: Sync {
    /// Something else is being done now.
    fn phase(&self, what: &str);
    /// This many mutants are to be tried, and this many results were there already.
    fn planned(&self, mutants: usize, kept: usize);
    /// A mutant is being tried.
    fn starts(&self, id: &str);
    /// A mutant has its result.
    fn ends(&self, result: &MutantResult);
    /// Something came from a machine.
    fn event(&self, event: &Event);
}

/// A campaign on one kernel.
#[derive(Debug)]
pub struct Campaign<'a> {
    /// The kernel, and the machine for it.
    pub boot: Boot<'a>,
    /// How it is run.
    pub settings: Settings,
    /// Parts of names of mutants; none means all.
    pub only: Vec<String>,
    /// Machines at once.
    pub jobs: usize,
    /// Controls that are run beside those of the mutants, to count false alarms.
    pub extra_controls: usize,
    /// Results are only listed, nothing is tried.
    pub list: bool,
    /// Where results are kept.
    pub store: Option<Store>,
}

/// Machines that may be lost before one is ready.
const LOST: usize = 3;

/// Boots and measures the kernel, again where emulation has lost the machine.
fn prepare(campaign: &Campaign<'_>, dir: &Path, watching: &dyn Watching) -> Result<Prepared, CampaignError> {
    let mut lost = Vec::new();
    loop {
        let place = dir.join(format!("machine-{}", lost.len()));
        let heard = &mut |event: &Event| watching.event(event);
        match Prepared::new(&campaign.boot, &campaign.settings, &place, heard, &mut |phase| watching.phase(phase)) {
            Err(CampaignError::L1(error))
                if error.is_loss() && campaign.boot.installed.accel == Accel::Tcg && lost.len() < LOST =>
            {
                lost.push(format!("another machine was needed: {error}"));
                // Its memory is of no further use; what cannot be removed now goes with the directory.
                let _ = std::fs::remove_dir_all(&place);
            }
            prepared => {
                return prepared.map(|prepared| Prepared { notes: lost.into_iter().chain(prepared.notes).collect(), ..prepared });
            }
        }
    }
}

/// Makes the campaign with `dir` for its machines.
///
/// # Errors
/// When the kernel cannot be used, or results cannot be kept.
pub fn run(
    campaign: &Campaign<'_>,
    dir: &Path,
    interrupted: &AtomicBool,
    watching: &dyn Watching,
) -> Result<CampaignReport, CampaignError> {
    let begin = Instant::now();
    let prepared = prepare(campaign, dir, watching)?;
    let wanted = wanted(&prepared, &campaign.only)?;
    let work = Work { campaign, prepared: &prepared, dir, interrupted, watching };
    let mut results: Vec<MutantResult> = Vec::new();
    let (mut todo, mut resumed) = (Vec::new(), 0);
    for mutant in wanted {
        match campaign.store.as_ref().and_then(|store| store.kept(&mutant.id)) {
            Some(kept) => {
                resumed += 1;
                results.push(kept);
            }
            None => todo.push(mutant),
        }
    }
    watching.planned(todo.len(), resumed);
    let made = work.all(&todo)?;
    results.extend(made);
    let order = |result: &MutantResult| prepared.mutants.iter().position(|mutant| mutant.id == result.id);
    results.sort_by_key(order);
    let (mut control_alarms, mut void_controls) = (prepared.alarms.clone(), Vec::new());
    let mut controls = 0;
    for trial in results.iter().flat_map(|result| &result.trials).chain(&work.extra_controls()?) {
        let said = || {
            let reason = trial.control.reason.clone().unwrap_or_default();
            format!("{} with seed {:#x}: {reason}", trial.control.verdict, trial.seed)
        };
        match trial.control.verdict {
            Verdict::Coherent => controls += 1,
            // Its machine ended, or did what emulation does by itself: not an alarm, and not a control.
            Verdict::Vacuous | Verdict::Skipped => void_controls.push(said()),
            Verdict::Violation | Verdict::Stuck => {
                controls += 1;
                control_alarms.push(said());
            }
        }
    }
    let sweep = &prepared.sweep;
    Ok(CampaignReport {
        asked: campaign.boot.kernel.asked.clone(),
        release: prepared.ready.release.clone(),
        origin: campaign.boot.kernel.origin.clone(),
        accelerator: campaign.boot.accel.name().to_owned(),
        mmu: prepared.mmu.clone(),
        boot_seconds: prepared.boot_seconds,
        seconds: begin.elapsed().as_secs_f64(),
        resumed,
        interrupted: interrupted.load(Relaxed),
        controls,
        control_alarms,
        void_controls,
        kernel: KernelSites {
            functions: sweep.functions,
            text_bytes: sweep.bytes,
            sites: sweep.sites.iter().map(|site| shown(site, &prepared)).collect(),
            oddities: sweep.oddities.iter().map(ToString::to_string).collect(),
        },
        mutants: results,
        notes: prepared.notes.clone(),
    })
}

fn wanted<'a>(prepared: &'a Prepared, only: &[String]) -> Result<Vec<&'a Mutant>, CampaignError> {
    for wanted in only {
        if !prepared.mutants.iter().any(|mutant| mutant.id.contains(wanted.as_str())) {
            let names = prepared.mutants.iter().map(|mutant| mutant.id.clone()).collect();
            return Err(CampaignError::NoSuchMutant { release: prepared.ready.release.clone(), wanted: wanted.clone(), names });
        }
    }
    // A whole name means that one alone: `change_protection/both` is not `hugetlb_change_protection/both`.
    let whole = |wanted: &String| prepared.mutants.iter().any(|mutant| mutant.id == *wanted);
    let fits = |wanted: &String, mutant: &Mutant| if whole(wanted) { mutant.id == *wanted } else { mutant.id.contains(wanted) };
    let is_wanted = |mutant: &&Mutant| only.is_empty() || only.iter().any(|wanted| fits(wanted, mutant));
    Ok(prepared.mutants.iter().filter(is_wanted).collect())
}

fn shown(site: &Site, prepared: &Prepared) -> SiteShown {
    let scenarios = &prepared.reach.scenarios;
    SiteShown {
        callee: site.callee.to_string(),
        place: format!("{}+{:#x}", site.symbol, site.offset),
        form: site.form.to_string(),
        hits: scenarios.iter().map(|measured| measured.hits(&[site])).sum(),
        met_memslot: scenarios.iter().map(|measured| measured.met(&[site])).sum(),
        reached_by: prepared.reach.reached_by(site),
    }
}

/// Each scenario of an extra control has this long.
const EACH_CONTROL_SECONDS: f64 = 0.4;

/// The line that tries a mutant again, with the same choices.
fn replay(campaign: &Campaign<'_>, id: &str) -> String {
    let (boot, settings) = (&campaign.boot, &campaign.settings);
    let request = &settings.request;
    let mut line = format!("nostale mutate --kernel {} --only {id}", quoted(&boot.kernel.asked));
    let mut add = |option: &str, value: &str| line.push_str(&format!(" --{option} {value}"));
    if let Plan::Lists { ops, backing } = &request.plan {
        ops.iter().for_each(|ops| add("ops", &ops.join(",")));
        backing.iter().for_each(|backing| add("backing", &backing.join(",")));
    }
    if !settings.litmus.is_empty() {
        add("litmus", &quoted(&settings.litmus.join(",")));
    }
    if request.vcpus == Some(settings.kvm_vcpus) {
        add("vcpus", &settings.kvm_vcpus.to_string());
    }
    add("memory", &memory_option(request.memory_bytes));
    add("seconds", &settings.seconds.to_string());
    add("control-seconds", &settings.control_seconds.to_string());
    add("stall-bound", &request.stall_bound_seconds.to_string());
    add("cpus", &boot.cpus.to_string());
    add("nodes", &boot.nodes.to_string());
    add("machine-memory", &memory_option(boot.memory_bytes));
    boot.append.iter().for_each(|word| add("append", &quoted(word)));
    add("accel", boot.accel.name());
    add("seed", &format!("{:#x}", settings.seed));
    line
}

struct Work<'a> {
    campaign: &'a Campaign<'a>,
    prepared: &'a Prepared,
    dir: &'a Path,
    interrupted: &'a AtomicBool,
    watching: &'a dyn Watching,
}

/// A machine that could not be used says nothing about a mutant, and ends no campaign: its control is void. Files of ours, and a
/// kernel that is not the one that was read, do end it.
fn void(tried: Result<Trial, CampaignError>, seed: u64) -> Result<Trial, CampaignError> {
    match tried {
        Err(CampaignError::L1(error)) if !matches!(error, L1Error::Changed { .. } | L1Error::File { .. }) => Ok(Trial {
            seed,
            scenarios: Vec::new(),
            control: Control { verdict: Verdict::Vacuous, reason: Some(error.to_string()), seconds: 0.0 },
            outcome: None,
            seconds: 0.0,
        }),
        other => other,
    }
}

impl Work<'_> {
    /// What decides which arguments hold.
    fn kernel(&self) -> (&str, Accel) {
        (&self.prepared.ready.release, self.campaign.boot.accel)
    }

    /// All results, in whatever order they came.
    fn all(&self, todo: &[&Mutant]) -> Result<Vec<MutantResult>, CampaignError> {
        let (next, results, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(None));
        let take = || todo.get(next.fetch_add(1, Relaxed)).copied();
        std::thread::scope(|scope| {
            for job in 0..self.campaign.jobs.max(1) {
                let (take, results, failed) = (&take, &results, &failed);
                scope.spawn(move || {
                    let lock = |error| *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    while let Some(mutant) = take() {
                        if failed.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                            return;
                        }
                        match self.one(mutant, job) {
                            Ok(result) => results.lock().unwrap_or_else(PoisonError::into_inner).push(result),
                            Err(error) => return lock(error),
                        }
                    }
                });
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn one(&self, mutant: &Mutant, job: usize) -> Result<MutantResult, CampaignError> {
        self.watching.starts(&mutant.id);
        let sites = self.prepared.sites_of(mutant);
        let mut result = self.untried(mutant, &sites);
        match (&mutant.change, choose(mutant, &sites, &self.prepared.reach)) {
            (Change::Unpatchable { reason }, _) => {
                // That it cannot be made is no proof that it would be noticed.
                (result.fate, result.expected, result.why) = (Fate::Unpatchable, false, Some(reason.clone()));
            }
            (_, Chosen::Unreached(measured)) => {
                let Ways { text, expected } = explain::unreached(mutant, self.kernel(), &measured);
                (result.fate, result.expected, result.why) = (Fate::Unreached, expected, Some(text));
            }
            (Change::Patches(patches), Chosen::Scenarios(pairs)) if !self.campaign.list => {
                result.scenarios = pairs.iter().map(|pair| format!("{} on {}", pair.ops, pair.backing)).collect();
                self.try_it(&mut result, (mutant, &pairs, patches), job)?;
            }
            (Change::Patches(_), Chosen::Scenarios(pairs)) => {
                result.scenarios = pairs.iter().map(|pair| format!("{} on {}", pair.ops, pair.backing)).collect();
            }
        }
        // A result that is none is not kept: the next session makes it.
        if let Some(store) = self.campaign.store.as_ref().filter(|_| result.fate != Fate::Untried) {
            store.keep(&result)?;
        }
        self.watching.ends(&result);
        Ok(result)
    }

    fn try_it(
        &self,
        result: &mut MutantResult,
        (mutant, pairs, patches): (&Mutant, &[Pair], &[Patch]),
        job: usize,
    ) -> Result<(), CampaignError> {
        let dir = self.dir.join(format!("job-{job}"));
        loop {
            let argument = explain::argument(mutant, self.kernel(), pairs);
            let trials = evidence(&result.trials, &mutant.kind);
            match judge(&trials, argument.is_some()) {
                Judgement::Again if self.interrupted.load(Relaxed) => return Ok(()),
                Judgement::Again => {
                    let seed = self.campaign.settings.seed.wrapping_add(result.trials.len() as u64);
                    // Two trials refute an argument or do not; without one, each looks harder than those that saw nothing.
                    let harder = if argument.is_some() { 0 } else { quiet(&trials) };
                    let what: (&[Pair], &[Patch], u64) = (&group(pairs, &trials), patches, seed);
                    result.trials.push(self.trial((mutant.group, harder), what, &dir)?);
                    continue;
                }
                Judgement::Killed(kill) => {
                    (result.fate, result.expected, result.killed_by) = (Fate::Killed, true, Some(kill));
                }
                Judgement::Unseen => {
                    (result.fate, result.expected) = unseen(argument.as_deref());
                    result.why = argument;
                }
                Judgement::Flaky(why) => (result.fate, result.expected, result.why) = (Fate::Flaky, false, Some(why)),
            }
            return Ok(());
        }
    }

    /// One trial, after so many that saw nothing: it takes longer, and has vCPUs that are interrupted anywhere, as mutants of KVM have
    /// from the beginning.
    fn trial(&self, (group, harder): (Group, usize), what: (&[Pair], &[Patch], u64), dir: &Path) -> Result<Trial, CampaignError> {
        let Campaign { boot, settings, .. } = self.campaign;
        let mut settings = settings.clone();
        if group == Group::Kvm || harder > 0 {
            settings.request.vcpus = Some(settings.kvm_vcpus);
        }
        settings.seconds *= 1.0 + harder as f64;
        let place = (dir, self.interrupted);
        let tried = trial(boot.installed, self.prepared, &settings, what, place, &mut |event| self.watching.event(event));
        void(tried, what.2)
    }

    /// Controls of all scenarios that could run, without any mutant.
    fn extra_controls(&self) -> Result<Vec<Trial>, CampaignError> {
        let pairs: Vec<Pair> = self.prepared.reach.scenarios.iter().map(|measured| measured.pair.clone()).collect();
        let mut trials = Vec::new();
        let (wanted, mut valid) = (self.campaign.extra_controls, 0);
        // One whose machine died is made again, but not for ever.
        for number in 0..2 * wanted {
            if self.interrupted.load(Relaxed) || valid == wanted {
                break;
            }
            self.watching.phase(&format!("control {} of {wanted}", valid + 1));
            let seed = self.campaign.settings.seed.wrapping_add(number as u64);
            let Campaign { boot, settings, .. } = self.campaign;
            let seconds = settings.control_seconds.max(EACH_CONTROL_SECONDS * pairs.len() as f64);
            let settings = Settings { control_seconds: seconds, ..settings.clone() };
            let dir = self.dir.join("control");
            let what: (&[Pair], &[Patch], u64) = (&pairs, &[], seed);
            let place = (dir.as_path(), self.interrupted);
            let tried = trial(boot.installed, self.prepared, &settings, what, place, &mut |event| self.watching.event(event));
            let tried = void(tried, seed)?;
            valid += usize::from(!matches!(tried.control.verdict, Verdict::Vacuous | Verdict::Skipped));
            trials.push(tried);
        }
        Ok(trials)
    }

    fn untried(&self, mutant: &Mutant, sites: &[&Site]) -> MutantResult {
        let patches = mutant.patches().unwrap_or_default().iter();
        MutantResult {
            id: mutant.id.clone(),
            function: mutant.function.clone(),
            kind: mutant.kind.to_string(),
            group: match mutant.group {
                Group::Caller => "caller",
                Group::Kvm => "kvm",
            }
            .to_owned(),
            fate: Fate::Untried,
            expected: false,
            why: None,
            killed_by: None,
            patches: patches
                .map(|patch| PatchShown { place: patch.symbol_offset.clone(), was: patch.was.clone(), is: patch.is.clone() })
                .collect(),
            sites: sites.iter().map(|site| shown(site, self.prepared)).collect(),
            scenarios: Vec::new(),
            trials: Vec::new(),
            replay: replay(self.campaign, &mutant.id),
        }
    }
}
