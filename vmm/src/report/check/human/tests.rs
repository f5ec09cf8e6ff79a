use super::*;
use crate::report::check::{Unchecked, sample};

fn show(report: &CheckReport, width: usize, color: bool) -> String {
    render(report, &Options { width, color, trace: true })
}

/// Several models as of one check.
fn several(parts: &[(&str, &str)]) -> CheckReport {
    let mut all = CheckReport { version: 1, files: Vec::new(), errors: Vec::new(), interrupted: false };
    all.files.extend(parts.iter().flat_map(|(path, text)| sample::report(path, text).files));
    all
}

#[test]
fn an_expected_failure_is_a_table_with_a_column_for_each_thread() {
    let expected = "\
two threads count (count.nst)

variant  expected  verdict  states  transitions  depth    time  as expected
default  fails     fails         9            9      3  400 µs  yes

fails: count.nst default, as expected
  #  line  b          a    what happens
  1  4     let r = n       b.r = 0
  2  3                n++  n: 0 → 1
  3  4     n = r + 1

  count.nst:5: finally n == 2 is violated after 3 steps
  \"an increment was lost\"
  replay with:
    nostale check count.nst

1 variant of 1 model: as expected; 9 states in 400 µs
";
    assert_eq!(show(&sample::report("count.nst", sample::COUNT), 100, false), expected);
}

#[test]
fn a_directory_shows_only_what_is_not_as_expected() {
    let report = several(&[("m/count.nst", sample::COUNT), ("m/locks/crossed.nst", sample::CROSSED)]);
    let expected = "\
models in m/

model              variant  expected  verdict   states  transitions  depth    time  as expected
count.nst          default  fails     fails          9            9      3  400 µs  yes
locks/crossed.nst  default  holds     deadlock       8            9      3  400 µs  NO

deadlock: m/locks/crossed.nst default, expected: holds
  #  line  one     two     what happens
  1  3     lock a          a: free → one
  2  4             lock b  b: free → two

  nothing can run, though not every thread has finished, after 2 steps
    one waits for ever at m/locks/crossed.nst:3: lock b
    two waits for ever at m/locks/crossed.nst:4: lock a
  replay with:
    nostale check m/locks/crossed.nst

2 variants of 2 models: 1 not as expected; 17 states in 800 µs
";
    assert_eq!(render(&report, &Options { width: 110, color: false, trace: false }), expected);
}

#[test]
fn store_buffers_are_told_in_words_and_memory_has_a_column() {
    let text = show(&sample::report("b.nst", sample::BUFFERS), 100, false);
    for part in [
        "variant  memory  expected  verdict",
        "plain    tso     fails     fails",
        "fenced   tso     holds     holds",
        "x = true                                buffered: x = true\n",
        "(x reaches memory)",
        "nostale check b.nst --ordering plain --memory-model tso\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("buffers a store") && !text.contains("buffered value"), "{text}");
}

#[test]
fn a_round_is_marked_and_who_is_left_waiting_is_told() {
    let text = show(&sample::report("r.nst", sample::SPINS), 100, false);
    for part in [
        "livelock: r.nst default, expected: holds\n",
        "  ↻ 4  ",
        "no state in which all threads have finished can be reached: the steps marked ↻ repeat for ever\n",
        "    invalidate waits for ever at r.nst:4: lock m\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn vacuous_bounded_interrupted_and_unchecked_say_what_they_are() {
    let mut report = sample::report("v.nst", sample::VACUOUS);
    let mut bounded = sample::report("b.nst", sample::CROSSED).files.remove(0);
    bounded.agreement = Agreement::Undecided;
    bounded.verdict = nostale_notifier::check::Verdict::Bounded;
    (bounded.bound, bounded.violated) = (Some("bytes"), None);
    report.files.push(bounded);
    report.interrupted = true;
    let message = "line 1: a model without threads".to_owned();
    report.errors.push(Unchecked { path: "e.nst".to_owned(), variant: None, message, shown: String::new() });
    let text = show(&report, 140, false);
    for part in [
        "vacuous: v.nst default, expected: holds\n",
        "v.nst:5: sometimes seen is true in none of 2 reachable states\n",
        "bounded: b.nst default: more memory than --max-memory allows (every state is kept exactly); nothing wrong was seen",
        "not checked: e.nst: line 1: a model without threads\n",
        "interrupted, so far 2 variants of 2 models: 1 vacuous, 1 bounded, which proves nothing; ",
        "; 1 could not be checked\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn every_width_is_kept_and_names_are_harmless() {
    let mut report = several(&[("m/a.nst", sample::COUNT), ("m/b.nst", sample::BUFFERS), ("m/c.nst", sample::SPINS)]);
    report.files[0].variant = "a\x1b[2J\nb".to_owned();
    report.files[0].counterexample[0].step = "\x1b[31m".to_owned();
    for width in NARROWEST..160 {
        let text = show(&report, width, false);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{width}: {text:?}");
        let whole = |line: &&str| line.starts_with("    nostale check ") || line.contains(" of 3 models: ");
        let wide: Vec<_> = text.lines().filter(|line| !whole(line) && line.chars().count() > width).collect();
        assert!(wide.is_empty(), "{width}: {wide:#?}\n{text}");
    }
}

#[test]
fn colour_says_whether_it_is_as_expected() {
    let text = show(&sample::report("count.nst", sample::COUNT), 100, true);
    assert!(text.contains("\x1b[32mfails\x1b[0m") && !text.contains("\x1b[31m"), "{text}");
    let text = show(&sample::report("c.nst", sample::CROSSED), 100, true);
    assert!(text.contains("\x1b[1m\x1b[31mdeadlock\x1b[0m"), "{text:?}");
}
