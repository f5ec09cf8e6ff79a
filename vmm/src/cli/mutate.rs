//! `nostale mutate`: does the testbed notice when a kernel forgets to tell the secondary MMU?

use super::{
    Refused,
    args::{Common, MutateOptions},
    interrupt, machine, models, output,
};
use crate::machine::Layout;
use crate::{
    host::clock,
    inside::{Event, Plan, RunRequest},
    kernels::{Cache, Kernel, Program},
    l1::Boot,
    mutate::campaign::{self, Campaign, CampaignReport, Fate, MutantResult, Settings, Store, Watching},
    qemu::Installed,
    report::{
        Format,
        mutate::{MutateReport, MutateVerdict, Options, render},
        outdir::OutDir,
        steps::Steps,
    },
};
use std::{
    fs,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// vCPUs of a guest: as many as a machine has CPUs by default.
const VCPUS: usize = 2;
/// More than that: a race within KVM shows when the loser is interrupted.
const KVM_VCPUS: usize = 4;
/// Measuring what the scenarios reach takes this long for each of them.
const REACH_SECONDS: f64 = 0.8;

pub(super) fn mutate(options: &MutateOptions, common: &Common) -> Result<ExitCode, Refused> {
    let litmus = if options.litmus.is_empty() { Vec::new() } else { models::on_kvm(&options.litmus)? };
    let scenarios = match litmus.len() {
        0 => crate::live::plan(options.ops.as_deref(), options.backing.as_deref())?.len(),
        tests => tests,
    };
    let installed = options.machine.installed()?;
    let cache = options.machine.cache()?;
    let program = Program::this()?;
    let kernels = find(options, &cache, common)?;
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let interrupted = interrupt::flag()?;
    let work = tempfile::Builder::new().prefix("nostale-").tempdir()?;
    // The time stamp counter is as good a source as any for a number that only has to differ.
    let seed = options.seed.unwrap_or_else(|| clock::now().0 & 0xffff_ffff);
    let settings = Settings {
        request: RunRequest {
            plan: Plan::Lists { ops: options.ops.clone(), backing: options.backing.clone() },
            vcpus: Some(options.vcpus.unwrap_or(VCPUS)),
            host_writers: 1,
            memory_bytes: options.memory.0,
            seconds: REACH_SECONDS * scenarios as f64,
            seed: Some(seed),
            stall_bound_seconds: options.stall_bound.as_secs_f64(),
            layout: Some(Layout::Plain.name().to_owned()),
            litmus,
            trace: options.trace,
            ..RunRequest::default()
        },
        kvm_vcpus: options.vcpus.unwrap_or(KVM_VCPUS),
        seconds: options.seconds.as_secs_f64(),
        control_seconds: options.control_seconds.as_secs_f64(),
        seed,
        litmus: options.litmus.iter().map(|path| path.display().to_string()).collect(),
    };
    let steps = Steps::new(common.quiet);
    let mut reports: Vec<CampaignReport> = Vec::new();
    let mut stores: Vec<Store> = Vec::new();
    let mut notes = Vec::new();
    for kernel in &kernels {
        if interrupted.load(Relaxed) {
            notes.push(format!("interrupted before {}", kernel.asked));
            break;
        }
        let store = store(options, &settings, (kernel, &installed), &cache)?;
        let campaign = Campaign {
            boot: Boot {
                installed: &installed,
                accel: installed.accel,
                kernel,
                program: &program,
                extras: None,
                memory_bytes: options.machine.machine_memory.0,
                cpus: options.machine.cpus,
                nodes: options.machine.nodes,
                append: options.machine.append.clone(),
            },
            settings: settings.clone(),
            only: options.only.clone(),
            jobs: options.machine.jobs(),
            extra_controls: options.controls,
            list: options.list,
            store,
        };
        let shown = Shown { steps: &steps, kernel: &kernel.release };
        let dir = work.path().join(&kernel.release);
        let report = match run(&campaign, &dir, &interrupted, &shown) {
            Ok(report) => report,
            // What was found in another kernel is worth its report.
            Err(Refused(why)) if kernels.len() > 1 => {
                notes.push(format!("{}: {why}", kernel.asked));
                continue;
            }
            Err(refused) => return Err(refused),
        };
        stores.extend(campaign.store);
        reports.push(report);
        // Gigabytes of memory that nobody needs any more.
        let _ = fs::remove_dir_all(&dir);
    }
    steps.finish();
    let report = MutateReport {
        version: 1,
        verdict: match MutateVerdict::of(&reports) {
            MutateVerdict::AsExpected if options.list || reports.len() < kernels.len() => MutateVerdict::Inconclusive,
            verdict => verdict,
        },
        seed,
        seconds: settings.seconds,
        kernels: reports,
        notes,
    };
    let (done, complete) = (ids(&report), !report.kernels.iter().any(|kernel| kernel.interrupted));
    let status = finish(report, options, out, common)?;
    // Only now nothing can be lost any more.
    if complete {
        stores.iter().for_each(|store| store.forget(done.iter().map(String::as_str)));
    }
    Ok(status)
}

fn ids(report: &MutateReport) -> Vec<String> {
    report.kernels.iter().flat_map(|kernel| &kernel.mutants).map(|mutant| mutant.id.clone()).collect()
}

fn finish(mut report: MutateReport, options: &MutateOptions, out: Option<OutDir>, common: &Common) -> Result<ExitCode, Refused> {
    if let Some(out) = out {
        out.write_mutate(&report)?;
        let path = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            report.notes.push(format!("everything is kept in {}", path.display()));
        }
    }
    output::print(&render(&report, common.format, &Options { width: output::width(), color: output::colour(common) }))?;
    Ok(ExitCode::from(if options.list { 0 } else { report.verdict.exit_status() }))
}

fn run(
    campaign: &Campaign<'_>,
    dir: &std::path::Path,
    interrupted: &AtomicBool,
    shown: &Shown<'_>,
) -> Result<CampaignReport, Refused> {
    fs::create_dir_all(dir)?;
    Ok(campaign::run(campaign, dir, interrupted, shown)?)
}

/// All of them before anything long begins: a typing error should not cost an hour.
fn find(options: &MutateOptions, cache: &Cache, common: &Common) -> Result<Vec<Kernel>, Refused> {
    let mut say = |line: &str| {
        if !common.quiet {
            eprintln!("{line}");
        }
    };
    let candidates = machine::find(&options.kernel, cache, &mut say)?;
    candidates.into_iter().map(|candidate| Ok(candidate.found?)).collect()
}

/// Where the results of this campaign are kept: they depend on the kernel, on this program and on what was asked for.
fn store(
    options: &MutateOptions,
    settings: &Settings,
    (kernel, installed): (&Kernel, &Installed),
    cache: &Cache,
) -> Result<Option<Store>, Refused> {
    if options.list {
        return Ok(None);
    }
    let (image, program) = (fs::read(&kernel.image)?, fs::read("/proc/self/exe")?);
    // A seed that was not given is another one in every session, and what was found with the last one is as good.
    let mut settings = settings.clone();
    if options.seed.is_none() {
        (settings.seed, settings.request.seed) = (0, None);
    }
    let settings = serde_json::to_vec(&settings)?;
    let shape = format!("{:?} {} {}", options.machine.shape(), installed.accel.name(), installed.version);
    // Somebody who works on KVM builds its modules anew and nothing else.
    let modules = kernel.modules.iter().map(|module| fs::read(&module.path)).collect::<Result<Vec<_>, _>>()?;
    let mut parts: Vec<&[u8]> = vec![kernel.release.as_bytes(), &image, &program, &settings, shape.as_bytes()];
    parts.extend(modules.iter().map(Vec::as_slice));
    let key = Store::key(&parts);
    let store = Store::open(&cache.dir().join("mutate"), &key)?;
    if options.afresh {
        store.empty()?;
    }
    Ok(Some(store))
}

struct Shown<'a> {
    steps: &'a Steps,
    kernel: &'a str,
}

impl Watching for Shown<'_> {
    fn phase(&self, what: &str) {
        self.steps.phase(&format!("{}: {what}", self.kernel));
    }

    fn planned(&self, mutants: usize, kept: usize) {
        if kept > 0 {
            self.steps.println(&format!(
                "{}: {kept} results were kept from an earlier session (--afresh makes them anew)",
                self.kernel
            ));
        }
        self.steps.planned(mutants);
    }

    fn starts(&self, id: &str) {
        self.steps.phase(&format!("{}: {id}", self.kernel));
    }

    fn ends(&self, result: &MutantResult) {
        self.steps.step();
        if !result.expected && result.fate != Fate::Untried {
            let why = result.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            self.steps.println(&format!("{}: {} {}{why}", self.kernel, result.id, result.fate));
        }
    }

    fn event(&self, event: &Event) {
        if let Event::Starts { scenario, backing, .. } = event {
            self.steps.detail(&format!("{scenario} on {backing}"));
        }
    }
}
