//! Small models for tests, checked as the command checks them.

use super::{CheckReport, case};
use nostale_notifier::{
    check::{Limits, explore},
    compile::Program,
    lang::Sources,
};
use std::{ops::ControlFlow, time::Duration};

/// An increment is lost, as expected.
pub(super) const COUNT: &str = r#"model "two threads count"
var n: 0..2
thread a { n++ }
thread b { let r = n; n = r + 1 }
finally n == 2 "an increment was lost"
expect fails "an increment was lost"
"#;

/// Two locks in two orders; nobody has expected that.
pub(super) const CROSSED: &str = r#"model "two locks"
spin a, b
thread one { lock a; lock b; unlock b; unlock a }
thread two { lock b; lock a; unlock a; unlock b }
expect holds
"#;

/// Store buffering, which a fence forbids.
pub(super) const BUFFERS: &str = r#"model "store buffering"
flag x, y
op fence() ordering plain {} ordering fenced { smp_mb }
thread a { let r: bool; x = true; fence; r = y }
thread b { let r: bool; y = true; fence; r = x }
finally a.r || b.r "both read what was there before"
expect plain fails under tso, fenced holds under tso
"#;

/// A retry that spins for ever once it has begun.
pub(super) const SPINS: &str = r#"model "retry"
flag busy
mutex m
thread invalidate { lock m; busy = true; lock m }
thread fault { wait busy; while busy { busy = true } }
expect holds
"#;

/// Nothing fails, because nothing happens.
pub(super) const VACUOUS: &str = r#"model "nothing happens"
flag seen
thread a { wait seen == false }
never seen "it was seen"
sometimes seen "somebody looks"
expect holds
"#;

/// All cases of a text; the times are made up, so that they are the same every time.
pub(super) fn report(path: &str, text: &str) -> CheckReport {
    let program = Program::read(Sources::new(path, text)).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
    let limits = Limits { max_states: 10_000, max_bytes: 1 << 30, workers: 1 };
    let files = program.cases(None).into_iter().map(|each| {
        let model = program.compile(&each.variant, each.memory).expect("compiles");
        let mut outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("fits");
        outcome.elapsed = Duration::from_micros(400);
        case(path, &program, &each, &model, &outcome, None)
    });
    CheckReport { version: 1, files: files.collect(), errors: Vec::new(), interrupted: false }
}
