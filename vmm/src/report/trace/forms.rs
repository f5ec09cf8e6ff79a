//! A profile for programs, and its rules as test tools see them.

use super::{TraceShown, human};
use crate::report::{
    Format, json,
    junit::{self, Suite},
    ktap,
    test::{Ending, Test},
};
use nostale_notifier::trace::profile::{Profile, RuleResult, RuleState};

/// The profile in this form, ending in a newline.
#[must_use]
pub fn render(profile: &Profile, format: Format, shown: &TraceShown) -> String {
    match format {
        Format::Human => human::render(profile, shown),
        Format::Json => json::document(profile),
        Format::Ktap => ktap::document(&tests(profile), &profile.notes, "there are no rules"),
        Format::Junit => junit::documents(&[Suite {
            name: "nostale trace".to_owned(),
            properties: vec![
                ("verdict", super::verdict_name(profile.verdict).to_owned()),
                ("kernel", profile.kernel.clone()),
                ("recorded", profile.title.clone()),
                ("events", profile.events.to_string()),
            ],
            tests: tests(profile),
            notes: profile.notes.clone(),
        }]),
    }
}

fn tests(profile: &Profile) -> Vec<Test<'_>> {
    profile.rules.iter().map(|rule| test(profile, rule)).collect()
}

fn test<'a>(profile: &'a Profile, rule: &'a RuleResult) -> Test<'a> {
    let broken = || format!("broken {} times of {}: {}", rule.breaks, rule.checks, rule.says);
    Test {
        name: rule.name.clone(),
        group: "rules".to_owned(),
        title: rule.name.clone(),
        ending: match rule.state {
            RuleState::Held => Ending::Passed,
            RuleState::Broken => Ending::Failed,
            RuleState::NotAsked => Ending::Skipped,
        },
        verdict: match rule.state {
            RuleState::Held => "held",
            RuleState::Broken => "broken",
            RuleState::NotAsked => "not asked",
        },
        reason: rule.reason.clone().or_else(|| (rule.state == RuleState::Broken).then(broken)),
        seconds: profile.seconds,
        describe: Box::new(move |width| human::breaks(rule, width)),
        replay: "nostale trace --read recording.trace".to_owned(),
    }
}
