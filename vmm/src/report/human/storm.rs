//! Storms: how many rounds, what was never done, and what the run itself held.

use crate::report::{
    ScenarioResult, Verdict,
    text::{clean, hanging},
    units,
};

/// A paragraph for each storm that ran.
pub(super) fn lines(scenarios: &[ScenarioResult], width: usize) -> Vec<String> {
    scenarios.iter().filter(|scenario| scenario.verdict != Verdict::Skipped).flat_map(|scenario| storm(scenario, width)).collect()
}

fn storm(scenario: &ScenarioResult, width: usize) -> Vec<String> {
    let Some(storm) = &scenario.storm else { return Vec::new() };
    let exceptions = [(storm.vacuous, "vacuous"), (storm.skipped, "skipped"), (storm.unset, "could not be set up")];
    let exceptions = exceptions.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}"));
    let never = if storm.never.is_empty() { String::new() } else { format!("; never done: {}", clean(&storm.never.join(", "))) };
    let (first, last) = (storm.first, storm.last);
    let text = format!(
        "{} rounds, {} coherent{}, {} operations; from {} and {} open files to {} and {}{never}",
        storm.rounds,
        storm.coherent,
        exceptions.collect::<String>(),
        units::count(scenario.operations),
        units::bytes(first.resident_bytes),
        first.descriptors,
        units::bytes(last.resident_bytes),
        last.descriptors,
    );
    hanging(&format!("{} on {}: ", clean(&scenario.name), clean(&scenario.backing)), &text, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Held, StormResult, sample};

    #[test]
    fn a_storm_says_what_it_came_to() {
        let held = |resident_bytes, descriptors| Held { resident_bytes, descriptors, ..Held::default() };
        let mut scenario = sample::scenario("storm", "anon", Verdict::Coherent);
        assert!(lines(std::slice::from_ref(&scenario), 80).is_empty(), "others have no rounds");
        let (first, last) = (held(20 << 20, 31), held(21 << 20, 31));
        scenario.storm = Some(StormResult {
            rounds: 12,
            coherent: 11,
            vacuous: 1,
            never: vec!["ksm".to_owned()],
            first,
            last,
            ..StormResult::default()
        });
        let text = lines(&[scenario], 200).join("\n");
        assert_eq!(
            text,
            "storm on anon: 12 rounds, 11 coherent, 1 vacuous, 18.4 k operations; from 20 MiB and 31 open files to 21 MiB and 31; never done: ksm"
        );
    }
}
