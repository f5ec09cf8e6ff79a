//! `nostale trace`: records what the kernel does to a VM's memory, and holds it against the rules.

mod kernel;

use super::{
    Refused,
    args::{Common, ExportTo, TraceOptions},
    interrupt, output, recording,
};
use crate::{
    report::{
        Format,
        counter::Counter,
        outdir::OutDir,
        trace::{TraceShown, exit_status, render},
        units,
    },
    trace::{self, Target, export, profile_with},
};
use nostale_notifier::trace::{export::Kind, profile::Profile};
use std::{path::Path, process::ExitCode, time::Duration};

/// How long a process is recorded when nobody says.
const USUAL: Duration = Duration::from_secs(10);

pub(super) fn trace(options: &TraceOptions, common: &Common) -> Result<ExitCode, Refused> {
    if let Some(name) = &options.kernel {
        return kernel::trace(name, options, common);
    }
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    // Without --out the recording is read and forgotten.
    let scratch = tempfile::tempdir()?;
    let (path, notes) = match (&options.read, target(options)) {
        (Some(read), _) => (read.clone(), Vec::new()),
        (None, Some(target)) => {
            let path = recording::place(out.as_ref(), scratch.path());
            let notes = record(&target, &path, options, common)?;
            (path, notes)
        }
        (None, None) => {
            return Err("what is to be recorded? --pid PID, or -- COMMAND; or --read FILE for what was recorded before".into());
        }
    };
    let mut profile = read(&path, common)?;
    profile.notes.splice(0..0, notes);
    if let Some(out) = &out {
        for to in &options.export {
            export_to(*to, &path, out)?;
        }
    }
    show(profile, out, common)
}

/// Keeps the profile if it is to be kept, and prints it.
fn show(mut profile: Profile, out: Option<OutDir>, common: &Common) -> Result<ExitCode, Refused> {
    if let Some(out) = out {
        out.write_trace(&profile)?;
        let kept = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            profile.notes.push(format!("everything is kept in {}", kept.display()));
        }
    }
    let shown = TraceShown { width: output::width(), color: output::colour(common) };
    output::print(&render(&profile, common.format, &shown))?;
    Ok(ExitCode::from(exit_status(&profile)))
}

fn target(options: &TraceOptions) -> Option<Target> {
    match (options.pid, options.command.as_slice()) {
        (Some(pid), _) => Some(Target::Process(pid)),
        (None, []) => None,
        (None, command) => Some(Target::Command(command.to_vec())),
    }
}

fn record(target: &Target, path: &Path, options: &TraceOptions, common: &Common) -> Result<Vec<String>, Refused> {
    let (title, time) = match target {
        Target::Process(pid) => (format!("process {pid}"), Some(options.seconds.unwrap_or(USUAL))),
        Target::Command(command) => {
            (command.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" "), options.seconds)
        }
    };
    let interrupted = interrupt::flag()?;
    let counter = Counter::new(common.quiet);
    let mut progress = |elapsed: Duration| {
        let of = time.map_or_else(String::new, |time| format!(" of {}", units::seconds(time.as_secs_f64())));
        counter.say(format!("recording {title}  {}{of}", units::seconds(elapsed.as_secs_f64())));
    };
    let ended = trace::record(target, path, &title, time, &interrupted, &mut progress)?;
    let mut notes = Vec::new();
    if let (Target::Process(pid), true) = (target, ended.gone) {
        notes.push(format!("process {pid} ended before the time was over"));
    }
    if let Some(status) = ended.status.filter(|status| !status.success()) {
        notes.push(format!("the command ended with {status}"));
    }
    Ok(notes)
}

fn read(path: &Path, common: &Common) -> Result<Profile, Refused> {
    let counter = Counter::new(common.quiet);
    Ok(profile_with(path, &mut |items| counter.say(format!("reading  {} events", units::count(items))))?)
}

fn export_to(to: ExportTo, recording: &Path, out: &OutDir) -> Result<(), Refused> {
    let (name, format) = match to {
        ExportTo::Perfetto => ("trace.perfetto-trace", Some(Kind::Perfetto)),
        ExportTo::Csv => ("trace.csv", Some(Kind::Csv)),
        ExportTo::Parquet => ("trace.parquet", Some(Kind::Parquet)),
        ExportTo::TraceDat => ("trace.dat", None),
    };
    let path = out.place(name);
    match format {
        Some(kind) => export::items(kind, recording, &path)?,
        None => export::trace_dat(recording, &path)?,
    }
    Ok(())
}
