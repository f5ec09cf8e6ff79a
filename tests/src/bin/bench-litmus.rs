//! How fast litmus tests run on the software MMU and on real KVM, and how soon the historic orderings show what is wrong with them.

use clap::Parser;
use nostale_notifier::{
    compile::{DEFAULT, MemoryModel, Program},
    lang::{Sources, ast::Expected},
    litmus::{
        Outcome, Until, allowed,
        soft::{Options, Run, Soft},
    },
    model::Model,
};
use nostale_tests::median::median;
use nostale_vmm::{host::facts::Facts, litmus as kvm};
use std::{
    error::Error,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

/// How fast litmus tests run on the software MMU, and how soon broken orderings show.
#[derive(Parser)]
struct Args {
    /// Tests, or directories of them
    #[arg(default_value = "tests/litmus")]
    paths: Vec<PathBuf>,
    /// Seconds for each ordering of each test
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Seeds with which a broken ordering has to show
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// Processors
    #[arg(long)]
    workers: Option<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let workers = args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let tests = read(&args.paths)?;
    println!("{:<44} {:<18} {:>12}  {:>14} {:>14}", "test", "ordering", "instances/s", "first bad", "slowest seed");
    let mut speeds = Vec::new();
    for (name, program) in &tests {
        for case in program.cases(Some(MemoryModel::Sc)) {
            let model = program.compile(&case.variant, case.memory).map_err(|wrong| wrong.render(program.sources(), false))?;
            let until = Until::For(Duration::from_secs_f64(args.seconds));
            let run = run(&model, Options { until, seed: 1, workers })?;
            let speed = run.instances as f64 / run.elapsed.as_secs_f64();
            speeds.push(speed);
            let (first, slowest) = match case.expected {
                Expected::Holds => (String::from("-"), String::from("-")),
                _ => first_bad(&model, args.seeds, workers)?,
            };
            println!("{name:<44} {:<18} {:>10.2} M  {first:>14} {slowest:>14}", case.variant, speed / 1e6);
        }
    }
    println!(
        "\nmedian {:.2} M instances/s over {} orderings of {} tests, {workers} processors",
        median(&mut speeds) / 1e6,
        speeds.len(),
        tests.len()
    );
    match Facts::gather().need_kvm() {
        Ok(()) => on_kvm(&tests, args.seconds),
        Err(need) => {
            println!("\nnot on KVM: {need}");
            Ok(())
        }
    }
}

/// The tests that run on a real machine.
fn on_kvm(tests: &[(String, Program)], seconds: f64) -> Result<(), Box<dyn Error>> {
    println!("\n{:<44} {:>12} {:>14}", "test on KVM", "instances/s", "calls/s");
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (name, program) in tests {
        let text = program.sources().get(0).map_or("", |text| text.text.as_str());
        let Ok(real) = Program::read_real(Sources::new(name.as_str(), text)) else { continue };
        // One with orderings of its own has nothing that a kernel could do in its own.
        if real.variants() != [DEFAULT] {
            continue;
        }
        let model = real.compile(DEFAULT, MemoryModel::Sc).map_err(|wrong| wrong.render(real.sources(), false))?;
        let Ok(test) = kvm::Kvm::new(&model) else { continue };
        let options = kvm::Options { until: Until::For(Duration::from_secs_f64(seconds)), seed: 1, stale: false, told: None };
        let Ok(run) = test.run(&options, &AtomicBool::new(false)) else { continue };
        let time = run.elapsed.as_secs_f64();
        let speed = run.instances as f64 / time;
        if run.calls > 0 {
            with.push(speed)
        } else {
            without.push(speed)
        }
        println!("{name:<44} {:>10.2} M {:>14.0}", speed / 1e6, run.calls as f64 / time);
    }
    for (what, speeds) in [("with", &mut with), ("without", &mut without)].iter_mut().filter(|(_, speeds)| !speeds.is_empty()) {
        let least = speeds.iter().copied().fold(f64::INFINITY, f64::min);
        let (middle, tests) = (median(speeds), speeds.len());
        println!("median {:.2} M instances/s, least {:.2} M, of {tests} tests {what} system calls", middle / 1e6, least / 1e6);
    }
    Ok(())
}

fn read(paths: &[PathBuf]) -> Result<Vec<(String, Program)>, Box<dyn Error>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries: Vec<PathBuf> =
                fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
            files.extend(entries.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "nst")));
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let text = fs::read(Path::new(path))?;
        let program = Program::read(Sources::from_bytes(name.clone(), &text)).map_err(|wrong| wrong.render(false))?;
        Ok((name, program))
    };
    files.iter().map(read).collect()
}

fn run(model: &Model, options: Options) -> Result<Run, Box<dyn Error>> {
    Ok(Soft::new(model)?.run(&options, &AtomicBool::new(false)))
}

/// When the first state was seen that violates a property: the median of all seeds, and the slowest. A seed has ten seconds.
fn first_bad(model: &Model, seeds: u64, workers: usize) -> Result<(String, String), Box<dyn Error>> {
    let known = allowed(model, 1 << 22, &|_| ControlFlow::Continue(()))?;
    let is_bad = |outcome: &Outcome| known.outcomes.get(outcome).is_some_and(|known| known.violates.is_some());
    let mut times = Vec::new();
    for seed in 0..seeds {
        let mut time = f64::INFINITY;
        // Rising, because most show at once.
        for seconds in [0.05, 1.0, 10.0] {
            let until = Until::For(Duration::from_secs_f64(seconds));
            let run = run(model, Options { until, seed, workers })?;
            let first = run.tally.iter().filter(|(outcome, _)| is_bad(outcome)).map(|(_, seen)| seen.first.as_secs_f64());
            time = first.fold(f64::INFINITY, f64::min);
            if time.is_finite() {
                break;
            }
        }
        times.push(time);
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    let shown = |seconds: f64| if seconds.is_finite() { format!("{:.1} ms", seconds * 1e3) } else { "never".to_owned() };
    Ok((shown(median(&mut times)), shown(slowest)))
}
