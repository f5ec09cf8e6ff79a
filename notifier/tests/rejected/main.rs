//! What a person is told about a text that is well written and means nothing: names, types, loops, expectations.

use nostale_notifier::compile::Program;

#[path = "../snapshots/mod.rs"]
mod snapshots;

#[test]
fn what_is_said_about_models_without_meaning_reads_well() {
    snapshots::compare("rejected", 12, |sources| match Program::read(sources) {
        Ok(_) => "nothing: it was accepted\n".to_owned(),
        Err(rejected) => rejected.render(false),
    });
}
