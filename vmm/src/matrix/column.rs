//! One kernel, from its first boot to its judgement.

use super::{
    Candidate, MatrixPlan, Step,
    judge::{Evidence, Judged},
    replay::replay,
    seen::seen,
};
use crate::{
    inside::{Event, Pair, Plan, Ready, RunRequest},
    kernels::Kernel,
    l1::{Boot, ConsoleAlarm, End, L1, L1Error, Ran, last_words},
    qemu::Accel,
    report::{
        ScenarioResult, Verdict,
        matrix::{AlarmResult, KernelResult},
    },
};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Machines that a kernel gets at most: one, one more for what went wrong there, and two for what a death left undone.
const MACHINES: usize = 4;
/// Lines of a dying kernel's console that are shown.
const LAST_WORDS: usize = 8;
/// Lines off the channel that were no message: a few show what happened.
const DAMAGED: usize = 20;

/// Runs the plan in one kernel.
pub(super) fn run(
    plan: &MatrixPlan<'_>,
    number: usize,
    candidate: &Candidate,
    interrupted: &AtomicBool,
    on: &dyn Fn(Step<'_>),
) -> KernelResult {
    let kernel = match &candidate.found {
        Ok(kernel) => kernel,
        Err(error) => return KernelResult::without_run(&candidate.asked, Verdict::Skipped, error.to_string()),
    };
    let begin = Instant::now();
    let mut column = Column::new(plan, number, kernel, &candidate.asked);
    let whole = interrupted_or(interrupted, || column.machines(interrupted, on));
    let mut result = column.finish(whole, interrupted.load(Relaxed));
    result.seconds = begin.elapsed().as_secs_f64();
    result
}

fn interrupted_or(interrupted: &AtomicBool, work: impl FnOnce() -> Result<(), Ended>) -> Result<(), Ended> {
    if interrupted.load(Relaxed) { Err(Ended::new(Verdict::Skipped, "interrupted before it started")) } else { work() }
}

/// Why there is nothing more to be had of a kernel.
#[derive(Debug)]
struct Ended {
    verdict: Verdict,
    reason: String,
}

impl Ended {
    fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into() }
    }
}

struct Column<'a> {
    plan: &'a MatrixPlan<'a>,
    /// Among the kernels.
    number: usize,
    kernel: &'a Kernel,
    evidence: Evidence,
    result: KernelResult,
    /// Machines that came to nothing.
    failures: Vec<String>,
    /// Time that each scenario gets.
    each: f64,
}

impl<'a> Column<'a> {
    fn new(plan: &'a MatrixPlan<'a>, number: usize, kernel: &'a Kernel, asked: &str) -> Self {
        let installed = &plan.machines.installed;
        let evidence = Evidence::new(&plan.pairs(), installed.accel == Accel::Kvm);
        let result = KernelResult {
            release: Some(kernel.release.clone()),
            origin: Some(kernel.origin.clone()),
            accelerator: installed.accel.name().to_owned(),
            emulator: format!("QEMU {}", installed.version),
            reason: None,
            ..KernelResult::without_run(asked, Verdict::Skipped, String::new())
        };
        Self {
            plan,
            number,
            kernel,
            evidence,
            result,
            failures: Vec::new(),
            each: plan.request.seconds / plan.scenarios.len().max(1) as f64,
        }
    }

    /// One machine after the other, as long as another could tell something.
    fn machines(&mut self, interrupted: &AtomicBool, on: &dyn Fn(Step<'_>)) -> Result<(), Ended> {
        let mut last = Ok(());
        for before in 0..MACHINES {
            // A run that has stopped at its first violation has done what it was to.
            let only_troubled = self.plan.request.until_violation && self.evidence.is_troubled();
            let open = self.evidence.open(only_troubled);
            if open.is_empty() || before > 0 && interrupted.load(Relaxed) {
                return Ok(());
            }
            let first = open.len() == self.plan.scenarios.len();
            let seconds = if first { self.plan.request.seconds } else { self.each * open.len() as f64 };
            on(Step::Boots { before, planned: Duration::try_from_secs_f64(seconds).unwrap_or_default() });
            last = self.machine(before, open, seconds, interrupted, on);
            match &last {
                // Another machine would say the same.
                Err(ended) if ended.verdict == Verdict::Skipped => break,
                Err(ended) => self.failures.push(format!("machine {}: {}", before + 1, ended.reason)),
                Ok(()) => {}
            }
            // Booting twice is enough.
            if last.is_err() && before > 0 {
                break;
            }
        }
        last
    }

    /// Boots, runs `open`, and takes what was seen.
    fn machine(
        &mut self,
        before: usize,
        open: Vec<Pair>,
        seconds: f64,
        interrupted: &AtomicBool,
        on: &dyn Fn(Step<'_>),
    ) -> Result<(), Ended> {
        let plan = self.plan;
        let boot = Boot {
            installed: &plan.machines.installed,
            accel: plan.machines.installed.accel,
            kernel: self.kernel,
            program: &plan.program,
            extras: None,
            memory_bytes: plan.machines.shape.memory_bytes,
            cpus: plan.machines.shape.cpus,
            nodes: plan.machines.shape.nodes,
            append: plan.machines.shape.append.clone(),
        };
        let dir = plan.machines.dir.join(format!("{}-{before}", self.number));
        let begin = Instant::now();
        let booted = L1::boot_until(&boot, &dir, interrupted);
        let mut l1 = booted.map_err(|error| self.not_booted(&error))?;
        self.ready(&l1.ready().clone(), begin.elapsed().as_secs_f64());
        let request = RunRequest { plan: Plan::Pairs(open), seconds, seed: Some(plan.seed), ..plan.request.clone() };
        let mut each = self.each;
        let ran = l1.run_until(&request, interrupted, &mut |event| match event {
            Event::Starts { scenario, backing, planned_seconds } => {
                each = planned_seconds.max(each);
                let planned = Duration::try_from_secs_f64(*planned_seconds).unwrap_or_default();
                on(Step::Starts { name: scenario, backing, planned });
            }
            Event::Ends(result) => on(Step::Ends(result)),
            _ => {}
        });
        self.each = each;
        self.result.logs.consoles.push(l1.console());
        match ran {
            Ok(ran) => self.take(ran),
            Err(error) => Err(Ended::new(Verdict::Vacuous, one_line(&error.to_string()))),
        }
    }

    fn not_booted(&mut self, error: &L1Error) -> Ended {
        let verdict = match error {
            L1Error::NoKvm { .. } | L1Error::Interrupted { .. } => Verdict::Skipped,
            _ => Verdict::Vacuous,
        };
        if let L1Error::Died { console, .. } | L1Error::Silent { console, .. } = error {
            self.result.logs.consoles.push(console.clone());
            self.keep_last_words();
        }
        // The end of the console is shown elsewhere.
        Ended::new(verdict, error.to_string().lines().next().unwrap_or_default().trim_end_matches("; the end of its console:"))
    }

    /// Of the machine that has just ended, unless an earlier one has left some.
    fn keep_last_words(&mut self) {
        let logs = &mut self.result.logs;
        if let (true, Some(console)) = (logs.last_words.is_empty(), logs.consoles.last()) {
            logs.last_words = last_words(console, LAST_WORDS).into_iter().map(str::to_owned).collect();
        }
    }

    fn ready(&mut self, ready: &Ready, seconds: f64) {
        self.result.boot_seconds.get_or_insert(seconds);
        self.result.release = Some(ready.release.clone());
        self.result.logs.ticks_per_us = ready.ticks_per_us;
        for note in &ready.notes {
            self.note(note.clone());
        }
    }

    /// Once, however many machines say it.
    fn note(&mut self, note: String) {
        if !self.result.notes.contains(&note) {
            self.result.notes.push(note);
        }
    }

    fn take(&mut self, mut ran: Ran) -> Result<(), Ended> {
        let told = self.evidence.take(seen(&ran));
        let room = DAMAGED.saturating_sub(self.result.damaged.len());
        self.result.damaged.extend(ran.damaged.drain(..).take(room));
        self.result.alarms.extend(ran.alarms.iter().map(alarm));
        self.result.logs.kernel.append(&mut ran.collected.kernel_log);
        let end = ran.end;
        if !ran.alarms.is_empty() || !matches!(end, End::Whole | End::Interrupted) {
            self.keep_last_words();
        }
        if let Some(mut report) = ran.collected.report() {
            if let Some(trace) = report.trace.take().filter(|_| self.result.trace.is_none()) {
                self.result.trace = Some(trace);
            }
            self.result.mmu = Some(report.host.mmu.clone());
            self.result.host = Some(report.host);
            report.notes.into_iter().for_each(|note| self.note(note));
        }
        match end {
            End::Whole | End::Interrupted => Ok(()),
            // It refused, or died before anything began.
            end if told == 0 => Err(Ended::new(Verdict::Vacuous, one_line(&end.to_string()))),
            end => {
                self.note(format!("a machine ended early: {}", one_line(&end.to_string())));
                Ok(())
            }
        }
    }

    /// The judgement on all that was seen.
    fn finish(self, whole: Result<(), Ended>, interrupted: bool) -> KernelResult {
        let Self { plan, mut result, evidence, failures, each, .. } = self;
        let asked = result.asked.clone();
        let not_reached = if interrupted { "interrupted before it" } else { "the run had ended before it" };
        let missing =
            |pair: &Pair, verdict, reason| ScenarioResult::without_run(&pair.ops, &pair.backing, verdict, reason, String::new());
        if let Err(Ended { verdict, reason }) = &whole
            && !evidence.is_begun()
        {
            (result.verdict, result.reason) = (*verdict, Some(reason.clone()));
            return result;
        }
        result.notes.extend(failures);
        let Judged { verdict, reason, confirmed, mut scenarios } = evidence.judge(missing, not_reached);
        for scenario in &mut scenarios {
            let pair = Pair { ops: scenario.name.clone(), backing: scenario.backing.clone() };
            scenario.replay = replay(plan, &asked, &pair, each);
        }
        (result.verdict, result.reason, result.confirmed, result.scenarios) = (verdict, reason, confirmed, scenarios);
        if let Some(broken) = result.trace.as_ref().and_then(|profile| profile.broken_names()) {
            // What its own events say needs no second machine.
            result.verdict = Verdict::Violation;
            result.reason.get_or_insert_with(|| format!("order of events: {broken}"));
        }
        result
    }
}

fn alarm(alarm: &ConsoleAlarm) -> AlarmResult {
    AlarmResult { kind: alarm.alarm.to_string(), text: alarm.text.clone(), signature: alarm.signature }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
