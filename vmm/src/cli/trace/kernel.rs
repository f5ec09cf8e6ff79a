//! `nostale trace --kernel`: the same of a command in another kernel.

use super::{USUAL, show};
use crate::{
    cli::{
        Refused,
        args::{Common, Disturb, FileThere, TraceOptions},
        interrupt, machine,
    },
    inside::{Disturbance, TracePhase, TraceRequest},
    kernels::{Extras, Program},
    l1::{Boot, L1, L1Error},
    qemu::{Accel, MachineSpec},
    report::{counter::Counter, outdir::OutDir, units},
};
use nostale_notifier::trace::profile::Profile;
use std::{path::Path, process::ExitCode};

pub(super) fn trace(name: &str, options: &TraceOptions, common: &Common) -> Result<ExitCode, Refused> {
    let command = options.command.clone();
    let Some(program) = command.first() else { return Err("--kernel needs a command: -- COMMAND".into()) };
    let disturb = disturbances(&options.disturb)?;
    let files: Vec<_> = options.file.iter().map(|FileThere { here, there }| (here.clone(), there.clone())).collect();
    let extras = Extras::new(program, &files)?;
    let shape = options.machine.shape();
    let (installed, cache) = (options.machine.installed()?, options.machine.cache()?);
    MachineSpec {
        memory_bytes: shape.memory_bytes,
        cpus: shape.cpus,
        nodes: shape.nodes,
        ..MachineSpec::new("", "", installed.accel, "")
    }
    .check()?;
    room(&extras, shape.memory_bytes)?;
    let mut say = |line: &str| {
        if !common.quiet {
            eprintln!("{line}");
        }
    };
    let candidates = machine::find(&[name.to_owned()], &cache, &mut say)?;
    let Some(candidate) = candidates.into_iter().next() else { return Err("no kernel was named".into()) };
    let kernel = candidate.found?;
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let interrupted = interrupt::flag()?;
    let dir = tempfile::Builder::new().prefix("nostale-").tempdir()?;
    let counter = Counter::new(common.quiet);
    counter.say(format!("{name}: booting"));
    let boot = Boot {
        installed: &installed,
        accel: installed.accel,
        kernel: &kernel,
        program: &Program::this()?,
        extras: Some(&extras),
        memory_bytes: shape.memory_bytes,
        cpus: shape.cpus,
        nodes: shape.nodes,
        append: shape.append,
    };
    let seconds = options.seconds.unwrap_or(USUAL);
    let still = installed.accel == Accel::Tcg;
    let request = TraceRequest { program: extras.program().to_owned(), command, seconds: seconds.as_secs_f64(), disturb, still };
    let of = units::seconds(seconds.as_secs_f64());
    let tell = |phase: &TracePhase| {
        counter.say(match phase {
            TracePhase::Starting => format!("{name}: the command starts"),
            TracePhase::Recording { seconds } => format!("{name}: recording  {} of {of}", units::seconds(*seconds)),
            TracePhase::Reading { events } => format!("{name}: reading  {} events", units::count(*events)),
        });
    };
    let once = |place: &Path| -> Result<Profile, L1Error> {
        let mut l1 = L1::boot_until(&boot, place, &interrupted)?;
        let profile = l1.trace(&request, &interrupted, &mut |phase| tell(phase))?;
        l1.quit();
        Ok(profile)
    };
    let profile = match once(&dir.path().join("first")) {
        // Emulated machines are lost now and then, and seldom twice.
        Err(lost) if lost.is_loss() && installed.accel == Accel::Tcg => {
            counter.say(format!("{name}: booting again"));
            let mut profile = once(&dir.path().join("second"))?;
            profile.notes.push(format!("another machine was needed: {lost}"));
            profile
        }
        profile => profile?,
    };
    drop(counter);
    show(profile, out, common)
}

fn disturbances(asked: &[Disturb]) -> Result<Vec<Disturbance>, Refused> {
    if asked.contains(&Disturb::None) && asked.iter().any(|way| *way != Disturb::None) {
        return Err("--disturb none: nothing can go with it".into());
    }
    let mut ways: Vec<Disturbance> = Vec::new();
    for way in asked {
        let way = match way {
            Disturb::None => continue,
            Disturb::Compact => Disturbance::Compact,
            Disturb::Migrate => Disturbance::Migrate,
        };
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    Ok(ways)
}

/// Refuses what would not fit: it is in memory twice while the kernel unpacks it, and files may take half of memory.
fn room(extras: &Extras, memory: u64) -> Result<(), Refused> {
    let size = extras.size() as u64;
    if size > memory / 4 {
        let (size, memory) = (units::bytes(size), units::bytes(memory));
        return Err(format!(
            "the command, its libraries and files are {size}: too much for a machine of {memory} (--machine-memory)"
        )
        .into());
    }
    Ok(())
}
