//! For people: a table of fates, what was not as expected with all that is known of it, and a line that sums up.

use super::{MutateReport, MutateVerdict, Options};
use crate::{
    mutate::{
        campaign::{CampaignReport, Fate, MutantResult, Outcome},
        knowledge::REFERENCE,
    },
    report::{
        columns::{Column, Columns},
        human::paint,
        text::{clean, hanging},
        units,
    },
};
use anstyle::{AnsiColor, Style};

pub(super) fn render(report: &MutateReport, options: &Options) -> String {
    let width = options.width.max(40);
    let mut lines: Vec<String> = Vec::new();
    for kernel in &report.kernels {
        lines.extend(hanging(
            "",
            &format!("{} ({}), {}, {} MMU", kernel.release, kernel.origin, kernel.accelerator, kernel.mmu),
            width,
        ));
        lines.push(String::new());
        lines.extend(table(kernel, options.color).lines(width));
        lines.extend(reference(kernel, width));
        lines.extend(reasons(kernel, width));
        for mutant in kernel.unexpected() {
            lines.push(String::new());
            lines.push(format!("{}: {} in {}", fate(mutant, options.color), clean(&mutant.id), clean(&kernel.release)));
            lines.extend(describe(mutant, width));
        }
        lines.push(String::new());
        let notes = kernel.notes.iter().chain(&kernel.kernel.oddities);
        lines.extend(notes.flat_map(|note| hanging("note: ", note, width)));
        lines.extend(kernel.control_alarms.iter().flat_map(|alarm| hanging("control: ", alarm, width)));
        lines.extend(kernel.void_controls.iter().flat_map(|void| hanging("void control: ", void, width)));
        lines.push(summary(kernel));
        lines.push(String::new());
    }
    lines.extend(report.notes.iter().flat_map(|note| hanging("note: ", note, width)));
    lines.push(last(report, options.color));
    lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn style(mutant: &MutantResult) -> Style {
    match (mutant.fate, mutant.expected) {
        (Fate::Killed | Fate::Equivalent, _) => AnsiColor::Green.on_default(),
        (Fate::Survived, _) => AnsiColor::Red.on_default().bold(),
        (_, true) | (Fate::Untried, false) => Style::new().dimmed(),
        (_, false) => AnsiColor::Yellow.on_default(),
    }
}

fn fate(mutant: &MutantResult, color: bool) -> String {
    paint::painted(mutant.fate.name(), style(mutant), color)
}

fn table(kernel: &CampaignReport, color: bool) -> Columns {
    let mut columns =
        Columns::new([Column::Text(24), Column::Word, Column::Text(12), Column::Text(14), Column::Number, Column::Number]);
    let titles = ["mutant", "fate", "by", "running", "after", "calls met"];
    columns.header(titles.iter().map(|title| paint::header(title, color)).collect());
    for mutant in &kernel.mutants {
        let kill = mutant.killed_by.as_ref();
        let met: u64 = mutant.sites.iter().map(|site| site.met_memslot).sum();
        columns.row(vec![
            clean(&mutant.id),
            fate(mutant, color),
            kill.map_or_else(String::new, |kill| clean(&kill.oracle)),
            kill.map_or_else(String::new, |kill| clean(&format!("{} on {}", kill.scenario, kill.backing))),
            kill.map_or_else(String::new, |kill| units::seconds(kill.seconds)),
            if mutant.sites.is_empty() { "-".to_owned() } else { units::count(met) },
        ]);
    }
    columns
}

/// The twelve mutants that other testbeds were measured with, if all of them were asked for.
fn reference(kernel: &CampaignReport, width: usize) -> Vec<String> {
    let fates: Vec<(&str, Option<&MutantResult>)> = REFERENCE
        .iter()
        .map(|reference| (reference.function, kernel.mutants.iter().find(|mutant| reference.ids.contains(&mutant.id.as_str()))))
        .collect();
    if fates.iter().any(|(_, mutant)| mutant.is_none()) {
        return Vec::new();
    }
    let text: Vec<_> = fates.iter().filter_map(|(name, mutant)| Some(format!("{name} {}", (*mutant)?.fate))).collect();
    let mut lines = vec![String::new()];
    lines.extend(hanging("the twelve reference mutants: ", &text.join(", "), width));
    lines
}

/// Why mutants were not killed: each reason once, with those to which it applies.
fn reasons(kernel: &CampaignReport, width: usize) -> Vec<String> {
    let mut reasons: Vec<((Fate, &str), Vec<&str>)> = Vec::new();
    for mutant in kernel.mutants.iter().filter(|mutant| mutant.expected && mutant.fate != Fate::Killed) {
        let key = (mutant.fate, mutant.why.as_deref().unwrap_or("no reason was given"));
        match reasons.iter_mut().find(|(known, _)| *known == key) {
            Some((_, mutants)) => mutants.push(&mutant.id),
            None => reasons.push((key, vec![&mutant.id])),
        }
    }
    reasons.sort_by_key(|((fate, _), _)| *fate);
    let mut lines = Vec::new();
    for ((fate, why), mutants) in reasons {
        if lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(hanging(&format!("{fate}: "), &format!("{}: {why}", mutants.join(", ")), width));
    }
    lines
}

/// All that is known of a mutant.
#[must_use]
pub fn describe(mutant: &MutantResult, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = &mutant.why {
        lines.extend(hanging("  ", why, width));
    }
    for patch in &mutant.patches {
        lines.extend(hanging("  patch  ", &format!("{}: {} -> {}", patch.place, patch.was, patch.is), width));
    }
    for site in &mutant.sites {
        let by = if site.reached_by.is_empty() {
            "nothing".to_owned()
        } else {
            site.reached_by.iter().take(4).cloned().collect::<Vec<_>>().join(", ")
        };
        let text = format!("{} at {}: {} calls, {} met a memslot; by {by}", site.callee, site.place, site.hits, site.met_memslot);
        lines.extend(hanging("  call   ", &text, width));
    }
    for trial in &mutant.trials {
        let control = match &trial.control.reason {
            Some(reason) => format!("control {} ({reason})", trial.control.verdict),
            None => format!("control {}", trial.control.verdict),
        };
        let outcome = match &trial.outcome {
            None => "not changed".to_owned(),
            Some(Outcome::Nothing { seconds }) => format!("nothing was seen in {}", units::seconds(*seconds)),
            Some(Outcome::Unclear { why }) => format!("unclear: {why}"),
            Some(Outcome::Kill(kill)) => {
                format!(
                    "{} on {} on {} after {}: {}",
                    kill.oracle,
                    kill.scenario,
                    kill.backing,
                    units::seconds(kill.seconds),
                    kill.detail
                )
            }
        };
        lines.extend(hanging("  trial  ", &format!("seed {:#x}, {control}; {outcome}", trial.seed), width));
    }
    lines.push("  replay with:".to_owned());
    lines.push(format!("    {}", clean(&mutant.replay)));
    lines
}

fn summary(kernel: &CampaignReport) -> String {
    let fates = [Fate::Killed, Fate::Equivalent, Fate::Survived, Fate::Flaky, Fate::Unreached, Fate::Unpatchable, Fate::Untried];
    let counts: Vec<_> = fates.iter().map(|&fate| (fate, kernel.count(fate))).filter(|(_, count)| *count > 0).collect();
    let counts: Vec<_> = counts.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
    let functions: std::collections::BTreeSet<_> =
        kernel.kernel.sites.iter().map(|site| site.place.split('+').next().unwrap_or_default()).collect();
    format!(
        "{}: {} calls in {} functions; {} mutants: {}; {} controls, {} alarms{}; {}",
        clean(&kernel.release),
        kernel.kernel.sites.len(),
        functions.len(),
        kernel.mutants.len(),
        counts.join(", "),
        kernel.controls,
        kernel.control_alarms.len(),
        if kernel.void_controls.is_empty() { String::new() } else { format!(", {} void", kernel.void_controls.len()) },
        units::seconds(kernel.seconds),
    )
}

fn last(report: &MutateReport, color: bool) -> String {
    let (word, style) = match report.verdict {
        MutateVerdict::AsExpected => ("as expected", AnsiColor::Green.on_default()),
        MutateVerdict::Unexpected => ("not as expected", AnsiColor::Red.on_default().bold()),
        MutateVerdict::Inconclusive => ("inconclusive", AnsiColor::Yellow.on_default()),
    };
    let total = |fate| report.kernels.iter().map(|kernel| kernel.count(fate)).sum::<usize>();
    let reached = total(Fate::Killed) + total(Fate::Equivalent) + total(Fate::Survived) + total(Fate::Flaky);
    format!(
        "{}: of {reached} mutants that are reached, {} killed, {} equivalent, {} survived, {} flaky (seed {:#x})",
        paint::painted(word, style, color),
        total(Fate::Killed),
        total(Fate::Equivalent),
        total(Fate::Survived),
        total(Fate::Flaky),
        report.seed
    )
}
