//! A comparison for people: a table for each pair that differs, a line for each other one, and one that sums up.

use super::{Change, DiffReport, Pair, Side, StateDiff, Unpaired, Verdict};
use crate::report::{
    columns::{Column, Columns},
    human::{NARROWEST, paint},
    litmus::{Options, human::per_million},
    text::{clean, hanging},
    units,
};
use anstyle::{AnsiColor, Style};

pub(super) fn render(report: &DiffReport, options: &Options) -> String {
    let width = options.width.max(NARROWEST);
    let (told, quiet): (Vec<&Pair>, Vec<&Pair>) = report.pairs.iter().partition(|pair| is_told(pair) || report.pairs.len() == 1);
    let mut parts: Vec<Vec<String>> = told.into_iter().map(|pair| whole(pair, report.alpha, width, options.color)).collect();
    parts.push(quiet.into_iter().flat_map(|pair| line(pair, width, options.color)).collect());
    let alone = |side, all: &[Unpaired]| {
        let line = |one: &Unpaired| hanging(&format!("only in {side}: "), &one.name(), width);
        all.iter().flat_map(line).collect::<Vec<_>>()
    };
    parts.push([alone("A", &report.only_in_a), alone("B", &report.only_in_b)].concat());
    parts.push(report.notes.iter().flat_map(|note| hanging("note: ", note, width)).collect());
    parts.push(summary(report, options.color));
    parts.retain(|part| !part.is_empty());
    parts.into_iter().map(|part| part.join("\n") + "\n").collect::<Vec<_>>().join("\n")
}

/// Whether there is more to it than a line can say.
fn is_told(pair: &Pair) -> bool {
    pair.states.iter().any(|state| !matches!(state.change, Change::Same | Change::TooRare))
}

fn whole(pair: &Pair, alpha: f64, width: usize, color: bool) -> Vec<String> {
    let title = format!("{} {} on {}: {}", clean(&pair.file), clean(&pair.name()), pair.on, clean(&pair.model));
    let mut lines = hanging("", &title, width);
    lines.extend(table(pair, alpha, width, color));
    lines.extend(pair.reason.iter().flat_map(|reason| verdict(pair.verdict, reason, width, color)));
    lines
}

/// A pair of which nothing else is to be said.
fn line(pair: &Pair, width: usize, color: bool) -> Vec<String> {
    let reason = pair.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    verdict(pair.verdict, &format!("{} {} on {}{reason}", pair.file, pair.name(), pair.on), width, color)
}

fn verdict(verdict: Verdict, text: &str, width: usize, color: bool) -> Vec<String> {
    let style = match verdict {
        Verdict::Same => AnsiColor::Green.on_default(),
        Verdict::Differs => AnsiColor::Red.on_default().bold(),
        Verdict::Inconclusive => AnsiColor::Yellow.on_default(),
    };
    let mut lines = hanging(&format!("{}: ", verdict.name()), text, width);
    // Coloured only now: escape sequences take no columns.
    lines[0] = lines[0].replacen(verdict.name(), &paint::painted(verdict.name(), style, color), 1);
    lines
}

/// The states of a pair, and how much was seen.
pub(super) fn table(pair: &Pair, alpha: f64, width: usize, color: bool) -> Vec<String> {
    let numbers = [Column::Number; 5];
    let mut columns = Columns::new([Column::Text(24)].into_iter().chain(numbers).chain([Column::Text(16)]));
    // As it was asked for, without what binary fractions add.
    let interval = format!("{} % interval", (1e8 * (1.0 - alpha)).round() / 1e6);
    let titles = ["state", "A in a million", "B", "B : A", &interval, "p", ""];
    columns.header(titles.iter().map(|title| paint::header(title, color)).collect());
    pair.states.iter().for_each(|state| columns.row(cells(state, color)));
    let mut lines = columns.lines(width);
    let side = |name, side: &Side| {
        let batches = if side.batches > 0 { format!(", {} batches", side.batches) } else { String::new() };
        format!("{name}: {} instances{batches}", units::count(side.instances))
    };
    lines.extend(hanging("", &format!("{}; {}", side("A", &pair.a), side("B", &pair.b)), width));
    lines
}

fn cells(state: &StateDiff, color: bool) -> Vec<String> {
    let rate = |seen: &super::Seen| if seen.times == 0 { "-".to_owned() } else { per_million(seen.per_million) };
    let ratio = |ratio: Option<f64>, missing: &str| ratio.map_or(missing.to_owned(), |ratio| format!("{ratio:.2}"));
    let interval = match (state.ratio_low, state.ratio_high) {
        (None, None) => "-".to_owned(),
        (low, high) => format!("{} … {}", ratio(low, "∞"), ratio(high, "∞")),
    };
    let style = match state.change {
        _ if state.is_new_and_forbidden() => AnsiColor::Red.on_default().bold(),
        _ if state.confident => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    };
    let mut last = paint::painted(&what(state), style, color);
    if let (Some(why), true) = (&state.violates, state.change == Change::New) {
        last = format!("{last}: {}", clean(why));
    }
    vec![
        clean(&state.state),
        rate(&state.a),
        rate(&state.b),
        ratio(state.ratio, "-"),
        interval,
        match (state.p_of_all, state.p) {
            (Some(p), _) => probability(p),
            // It was not tested with the others.
            (None, Some(p)) => format!("({})", probability(p)),
            (None, None) => "-".to_owned(),
        },
        last,
    ]
}

/// What became of a state, in words.
pub(super) fn what(state: &StateDiff) -> String {
    let mut words = state.change.name().to_owned();
    if state.is_new_and_forbidden() {
        words = format!("NEW, FORBIDDEN under {}", state.forbidden_under.join(" and "));
    }
    match state.change {
        Change::New | Change::Gone if state.p.is_none() => words += ", confidence unknown",
        Change::New | Change::Gone if !state.confident => words += ", too rare to say",
        Change::MoreOften | Change::LessOften | Change::OtherBursts if !state.confident => {
            words += ", perhaps by the host's load"
        }
        _ => {}
    }
    words
}

/// A digit of what is small, and up to three decimals of what is not.
fn probability(p: f64) -> String {
    match p {
        p if p >= 0.995 => "1".to_owned(),
        p if p >= 0.1 => format!("{p:.2}"),
        p if p >= 0.001 => format!("{p:.3}"),
        p => format!("{p:.0e}"),
    }
}

fn summary(report: &DiffReport, color: bool) -> Vec<String> {
    let s = |n: usize| if n == 1 { "" } else { "s" };
    let with = |verdict| report.pairs.iter().filter(|pair| pair.verdict == verdict).count();
    let states = || report.pairs.iter().flat_map(|pair| &pair.states);
    let changes =
        [Change::New, Change::Gone, Change::MoreOften, Change::LessOften, Change::OtherBursts].into_iter().filter_map(|change| {
            let count = states().filter(|state| state.confident && state.change == change).count();
            (count > 0).then(|| format!("{count} {}", change.name()))
        });
    let changes = changes.collect::<Vec<_>>().join(", ");
    let tested = states().filter(|state| state.p_of_all.is_some()).count();
    let (same, differ, unknown) = (with(Verdict::Same), with(Verdict::Differs), with(Verdict::Inconclusive));
    let mut found = Vec::new();
    if differ > 0 {
        let verb = if differ == 1 { "differs" } else { "differ" };
        let words = format!("{differ} {verb} ({changes})");
        found.push(paint::painted(&words, AnsiColor::Red.on_default().bold(), color));
    }
    if same > 0 {
        let words = if differ + unknown == 0 { "no difference".to_owned() } else { format!("{same} without a difference") };
        found.push(paint::painted(&words, AnsiColor::Green.on_default(), color));
    }
    if unknown > 0 {
        found.push(paint::painted(&format!("{unknown} inconclusive"), AnsiColor::Yellow.on_default(), color));
    }
    if report.pairs.is_empty() {
        found.push(paint::painted("nothing to compare", AnsiColor::Yellow.on_default(), color));
    }
    let forbidden = states().filter(|state| state.is_new_and_forbidden()).count();
    if forbidden > 0 {
        let words = format!("{forbidden} NEW FORBIDDEN state{}", s(forbidden));
        found.push(paint::painted(&words, AnsiColor::Red.on_default().bold(), color));
    }
    let alone = report.only_in_a.len() + report.only_in_b.len();
    let alone = if alone > 0 { format!("; {alone} in one recording alone") } else { String::new() };
    let pairs = report.pairs.len();
    vec![format!(
        "{pairs} pair{}: {}{alone} (α {}, {tested} state{} tested)",
        s(pairs),
        found.join(", "),
        report.alpha,
        s(tested)
    )]
}
