//! What it costs a run to be recorded: the same run with and without, by turns.

use super::run;
use nostale_tests::{measured::measured, median::median};
use serde_json::Value;
use std::{error::Error, path::Path};

const SECONDS: f64 = 4.0;
const SCENARIOS: [&str; 5] = ["mremap", "migrate", "discard", "unmap", "protect"];

/// What a run came to.
struct Run {
    writes: f64,
    operations: f64,
    events: u64,
    lost: u64,
}

pub(super) fn bench(program: &Path, dir: &Path, rounds: u16) -> Result<(), Box<dyn Error>> {
    println!("\nwhat recording costs a run, with / without, medians of {rounds} pairs of {SECONDS} s (least to most)");
    println!("  {:10} {:>22} {:>22} {:>12} {:>8}", "", "writes/s", "operations/s", "events/s", "lost");
    let (mut all, mut every) = (Vec::new(), 0);
    for scenario in SCENARIOS {
        let (mut writes, mut operations, mut events, mut lost) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for round in 0..rounds {
            let arguments = ["--ops", scenario, "--backing", "anon"];
            let traced = [&arguments[..], &["--trace"]].concat();
            // Whoever comes second has the warmer machine.
            let (with, without) = if round % 2 == 0 {
                let with = one(program, dir, &traced)?;
                (with, one(program, dir, &arguments)?)
            } else {
                let without = one(program, dir, &arguments)?;
                (one(program, dir, &traced)?, without)
            };
            writes.push(with.writes / without.writes);
            operations.push(with.operations / without.operations);
            events.push(with.events as f64 / SECONDS);
            lost += with.lost;
        }
        all.extend_from_slice(&writes);
        every += lost;
        println!(
            "  {scenario:10} {:>22} {:>22} {:12.0} {lost:8}",
            spread(&mut writes),
            spread(&mut operations),
            median(&mut events)
        );
    }
    println!("  {:10} {:>22} {:>22} {:>12} {every:8}", "all", spread(&mut all), "", "");
    Ok(())
}

fn spread(ratios: &mut [f64]) -> String {
    let middle = median(ratios);
    let (least, most) = (ratios.first().copied().unwrap_or(f64::NAN), ratios.last().copied().unwrap_or(f64::NAN));
    format!("{middle:.2} ({least:.2} to {most:.2})")
}

fn one(program: &Path, dir: &Path, arguments: &[&str]) -> Result<Run, Box<dyn Error>> {
    let ended = measured(run(program, SECONDS, arguments).current_dir(dir))?;
    let report: Value = serde_json::from_str(&ended.stdout).map_err(|error| format!("no report ({error}): {}", ended.stderr))?;
    let scenario = &report["scenarios"][0];
    let figure = |name: &str| scenario[name].as_f64().ok_or_else(|| format!("{}: no {name}", arguments.join(" ")));
    let trace = &report["trace"];
    let lost = trace["lost"].as_array().map_or(0, |cpus| cpus.iter().filter_map(|cpu| cpu["events"].as_u64()).sum());
    Ok(Run {
        writes: figure("writes_per_second")?,
        operations: figure("operations_per_second")?,
        events: trace["events"].as_u64().unwrap_or(0),
        lost,
    })
}
