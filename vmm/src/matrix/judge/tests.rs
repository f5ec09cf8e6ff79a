use super::*;
use crate::{
    host::kmsg::Alarm,
    inside::Collected,
    l1::{ConsoleAlarm, End, Ran},
    matrix::seen::seen,
    qemu::{Cause, Ending},
    report::sample,
};
use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

fn pair(ops: &str) -> Pair {
    Pair { ops: ops.to_owned(), backing: "anon".to_owned() }
}

fn plan() -> Vec<Pair> {
    ["mremap", "fork", "protect"].map(pair).to_vec()
}

fn result(ops: &str, verdict: Verdict) -> ScenarioResult {
    let mut result = sample::scenario(ops, "anon", verdict);
    result.reason = (verdict != Verdict::Coherent).then(|| format!("{ops} was {verdict}"));
    result
}

/// A machine in which these ended, and then the whole ended like that, in `running` if in any.
fn ran(ended: &[(&str, Verdict)], running: Option<&str>, end: End) -> Ran {
    let mut collected = Collected::default();
    collected.ended = ended.iter().map(|&(ops, verdict)| result(ops, verdict)).collect();
    collected.running = running.map(|ops| (ops.to_owned(), "anon".to_owned()));
    Ran { collected, end, alarms: Vec::new(), damaged: Vec::new(), seconds: 1.0 }
}

fn whole(ended: &[(&str, Verdict)]) -> Ran {
    ran(ended, None, End::Whole)
}

fn reset() -> End {
    End::Died(Ending { cause: Cause::Reset, status: ExitStatus::from_raw(0) })
}

fn alarmed(mut ran: Ran, signature: bool) -> Ran {
    ran.alarms.push(ConsoleAlarm { alarm: Alarm::Bug, text: "kernel BUG at tdp_mmu.c:485!".to_owned(), signature });
    ran
}

fn evidence(at_once: bool, machines: &[Ran]) -> Evidence {
    let mut evidence = Evidence::new(&plan(), at_once);
    for machine in machines {
        evidence.take(seen(machine));
    }
    evidence
}

fn judge(at_once: bool, machines: &[Ran]) -> Judged {
    let missing =
        |pair: &Pair, verdict, reason| ScenarioResult::without_run(&pair.ops, &pair.backing, verdict, reason, String::new());
    evidence(at_once, machines).judge(missing, "not reached")
}

fn verdicts(judged: &Judged) -> Vec<(Verdict, String)> {
    judged.scenarios.iter().map(|scenario| (scenario.verdict, scenario.reason.clone().unwrap_or_default())).collect()
}

use Verdict::{Coherent, Skipped, Stuck, Vacuous, Violation};

const GOOD: [(&str, Verdict); 3] = [("mremap", Coherent), ("fork", Coherent), ("protect", Coherent)];

#[test]
fn what_is_coherent_is_so_at_once_and_needs_no_second_machine() {
    let machines = [whole(&GOOD)];
    assert_eq!(evidence(false, &machines).open(false), []);
    let judged = judge(false, &machines);
    assert_eq!((judged.verdict, judged.reason, judged.confirmed), (Coherent, None, None));
}

#[test]
fn a_violation_counts_when_it_is_seen_again() {
    let first = || whole(&[("mremap", Coherent), ("fork", Violation), ("protect", Vacuous)]);
    assert_eq!(evidence(false, &[first()]).open(false), [pair("fork")], "only what is concerned");
    let judged = judge(false, &[first(), whole(&[("fork", Violation)])]);
    assert_eq!((judged.verdict, judged.confirmed), (Violation, Some(true)));
    assert_eq!(judged.reason.as_deref(), Some("fork on anon: fork was violation"));
    // What it is called may differ: it was wrong both times.
    assert_eq!(judge(false, &[first(), whole(&[("fork", Stuck)])]).verdict, Violation);
}

#[test]
fn a_violation_that_is_not_seen_again_is_flaky_and_keeps_its_details() {
    let mut first = whole(&[("mremap", Coherent), ("fork", Violation), ("protect", Coherent)]);
    first.collected.ended[1].lost_writes = 7;
    let judged = judge(false, &[first, whole(&[("fork", Coherent)])]);
    assert_eq!((judged.verdict, judged.confirmed), (Vacuous, Some(false)));
    assert_eq!(judged.reason.as_deref(), Some("fork on anon: flaky: fork was violation; in another machine it was coherent"));
    assert_eq!((judged.scenarios[1].verdict, judged.scenarios[1].lost_writes), (Vacuous, 7));
}

#[test]
fn a_violation_for_which_no_second_machine_came_up_is_not_confirmed() {
    let judged = judge(false, &[whole(&[("mremap", Stuck), ("fork", Coherent), ("protect", Coherent)])]);
    assert_eq!((judged.verdict, judged.confirmed), (Vacuous, Some(false)));
    assert!(verdicts(&judged)[0].1.starts_with("not confirmed by a second run: mremap was stuck"), "{judged:?}");
}

#[test]
fn with_hardware_once_is_enough() {
    let machines = [whole(&[("mremap", Coherent), ("fork", Violation), ("protect", Coherent)])];
    assert_eq!(evidence(true, &machines).open(false), []);
    let judged = judge(true, &machines);
    assert_eq!((judged.verdict, judged.confirmed), (Violation, None));
}

#[test]
fn a_kernel_that_dies_leaves_what_it_did_not_get_to_for_the_next_machine() {
    let first = || ran(&[("mremap", Coherent)], Some("fork"), reset());
    assert_eq!(evidence(false, &[first()]).open(false), [pair("fork"), pair("protect")]);
    assert_eq!(evidence(false, &[first()]).open(true), [pair("fork")], "--until-violation");
    let judged = judge(false, &[first(), whole(&[("fork", Coherent), ("protect", Coherent)])]);
    let all = verdicts(&judged);
    assert_eq!((judged.verdict, judged.confirmed, all[2].0), (Vacuous, Some(false), Coherent));
    assert_eq!(all[1].1, "flaky: the guest reset itself (in fork on anon); in another machine it was coherent");
    assert!(judged.scenarios[1].operations > 0, "the numbers of the machine that lived");
}

#[test]
fn a_kernel_that_dies_twice_in_the_same_scenario_is_a_violation() {
    let first = ran(&[("mremap", Coherent)], Some("fork"), reset());
    let judged = judge(false, &[first, ran(&[], Some("fork"), reset()), whole(&[("protect", Coherent)])]);
    let all = verdicts(&judged);
    assert_eq!((judged.verdict, judged.confirmed), (Violation, Some(true)));
    assert_eq!(all[1], (Violation, "the guest reset itself (in fork on anon)".to_owned()));
    // With nothing but the death of one machine it proves nothing, even where once is enough.
    let judged = judge(true, &[ran(&[("mremap", Coherent)], Some("fork"), reset())]);
    assert_eq!(verdicts(&judged)[1].0, Vacuous);
    assert_eq!(verdicts(&judged)[2], (Skipped, "not reached".to_owned()));
    // But with a word about guests it does.
    let judged = judge(true, &[alarmed(ran(&[], Some("mremap"), reset()), true)]);
    assert_eq!(verdicts(&judged)[0], (Violation, "kernel: kernel BUG at tdp_mmu.c:485! (in mremap on anon)".to_owned()));
}

#[test]
fn a_kernel_that_falls_silent_is_stuck_where_it_was() {
    let silent = || ran(&[("mremap", Coherent)], Some("fork"), End::Silent(Duration::from_secs(50)));
    let judged = judge(false, &[silent(), ran(&[], Some("fork"), End::Silent(Duration::from_secs(50)))]);
    assert_eq!((judged.verdict, judged.confirmed), (Stuck, Some(true)));
    assert_eq!(judged.reason.as_deref(), Some("fork on anon: nothing came for 50 s (in fork on anon)"));
}

#[test]
fn a_truncated_result_proves_nothing_however_often_it_comes() {
    let failed = || ran(&[("mremap", Coherent)], Some("fork"), End::Failed("the child was killed by signal 9".to_owned()));
    let judged = judge(false, &[failed(), ran(&[], Some("fork"), End::Failed("again".to_owned()))]);
    assert_eq!(judged.verdict, Vacuous);
    assert!(verdicts(&judged)[1].1.starts_with("the child was killed by signal 9"), "{judged:?}");
}

#[test]
fn a_complaint_behind_the_last_result_is_of_that_scenario() {
    let machines = [alarmed(whole(&GOOD), true)];
    assert_eq!(evidence(false, &machines).open(false), [pair("protect")]);
    let quiet = judge(false, &[alarmed(whole(&GOOD), true), whole(&[("protect", Coherent)])]);
    assert_eq!((quiet.verdict, quiet.confirmed), (Vacuous, Some(false)));
    let again = judge(false, &[alarmed(whole(&GOOD), true), alarmed(whole(&[("protect", Coherent)]), true)]);
    assert_eq!((again.verdict, again.confirmed), (Violation, Some(true)));
    // Without a word about guests it may be the emulation's, and the kernel went on.
    assert_eq!(judge(false, &[alarmed(whole(&GOOD), false)]).verdict, Coherent);
}

#[test]
fn an_interrupted_run_is_as_far_as_it_got() {
    let judged = judge(false, &[ran(&[("mremap", Coherent)], Some("fork"), End::Interrupted)]);
    let all = verdicts(&judged).into_iter().map(|(verdict, _)| verdict).collect::<Vec<_>>();
    assert_eq!((judged.verdict, all), (Coherent, vec![Coherent, Skipped, Skipped]));
}
