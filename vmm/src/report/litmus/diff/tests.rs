use super::*;
use crate::report::litmus::{LitmusReport, parse};
use serde_json::{Value, json};

/// Instances of a batch.
const WIDTH: u64 = 1000;

/// A state, what the model says of it, and how often each batch has it.
type Row<'a> = (&'a str, &'a str, Vec<u64>);

/// A test at one place.
fn test(path: &str, variant: &str, on: &str, rows: &[Row<'_>]) -> Value {
    let number = rows.first().map_or(0, |(.., times)| times.len());
    let batches: Vec<Value> = (0..number)
        .map(|n| json!({ "instances": WIDTH, "times": rows.iter().map(|(.., times)| times[n]).collect::<Vec<_>>() }))
        .collect();
    let states: Vec<Value> = rows
        .iter()
        .map(|(state, model, times)| {
            let times: u64 = times.iter().sum();
            let mut row = json!({
                "state": state, "end": "finished", "values": [state], "model": model, "allowed_under": [], "violates": null,
                "soft": null, "kvm": null,
            });
            row[on] = json!({ "times": times, "per_million": 0.0, "first_us": null, "best_shape": null });
            row
        })
        .collect();
    let mut test = json!({
        "path": path, "model": "a model", "variant": variant, "memory_model": "sc", "verdict": "agrees", "reason": null,
        "never_seen": [], "columns": ["r"], "states": states, "explored": null, "soft": null, "kvm": null, "kvm_skipped": null,
        "replay": "nostale litmus",
    });
    test[on] = json!({
        "instances": number as u64 * WIDTH, "seconds": 1.0, "instances_per_second": null, "shapes": [], "operations": 0,
        "installs": 0, "invalidations": 0, "batches": batches,
    });
    test
}

fn document(tests: &[Value]) -> Value {
    json!({ "version": 1, "seed": 7, "tests": tests, "errors": [], "interrupted": false })
}

fn recorded(name: &str, tests: &[Value]) -> Recorded {
    chosen(name, None, tests)
}

fn chosen(name: &str, ordering: Option<&str>, tests: &[Value]) -> Recorded {
    let report: LitmusReport = parse(&document(tests).to_string()).expect("a report");
    Recorded::new(name.to_owned(), ordering.map(str::to_owned), report).expect("an ordering")
}

/// In every batch about so often, in no regular way.
fn about(times: u64, batches: u64) -> Vec<u64> {
    (0..batches).map(|n| times + n * 7 % 11 - 5).collect()
}

/// In the first of the batches so often, and then not any more.
fn first(times: u64, with: u64, batches: u64) -> Vec<u64> {
    (0..batches).map(|n| if n < with { times } else { 0 }).collect()
}

fn states(a: &[Row<'_>], b: &[Row<'_>]) -> DiffReport {
    compare(&recorded("a.json", &[test("x.nst", "v", "soft", a)]), &recorded("b.json", &[test("d/x.nst", "v", "soft", b)]), 0.01)
}

fn change(report: &DiffReport, state: &str) -> (Change, bool) {
    let found = report.pairs[0].states.iter().find(|row| row.state == state).expect("the state");
    (found.change, found.confident)
}

#[test]
fn what_came_went_and_moved() {
    let a = [
        ("r=0", "allowed", about(100, 64)),
        ("r=1", "allowed", about(50, 64)),
        ("r=2", "allowed", first(300, 40, 64)),
        ("r=3", "forbidden", first(0, 0, 64)),
        ("r=4", "allowed", first(1, 2, 64)),
        ("r=5", "allowed", about(60, 64)),
        ("r=6", "allowed", first(0, 0, 64)),
    ];
    let b = [
        ("r=0", "allowed", about(101, 64)),
        ("r=1", "allowed", about(100, 64)),
        ("r=2", "allowed", first(0, 0, 64)),
        ("r=3", "forbidden", first(1, 30, 64)),
        ("r=4", "allowed", first(40, 1, 64)),
        ("r=5", "allowed", about(30, 64)),
        ("r=6", "allowed", first(500, 1, 64)),
    ];
    let report = states(&a, &b);
    let changes: Vec<_> = a.iter().map(|(state, ..)| change(&report, state)).collect();
    let expected = [
        (Change::Same, false),
        (Change::MoreOften, true),
        (Change::Gone, true),
        (Change::New, true),
        (Change::TooRare, false),
        (Change::LessOften, true),
        // 500 times, all of them in one batch.
        (Change::New, false),
    ];
    assert_eq!(changes, expected);
    assert_eq!((report.exit_status(), report.pairs[0].verdict), (1, Verdict::Differs));
    let moved = &report.pairs[0].states[1];
    let (low, high) = (moved.ratio_low.expect("an end"), moved.ratio_high.expect("an end"));
    assert!(1.9 < low && low < 2.0 && 2.0 < high && high < 2.1, "{moved:?}");
    assert!(moved.p <= moved.p_of_all, "{moved:?}");

    let text = render(&report, Format::Human, &Options { width: 130, color: false });
    for part in [
        "x.nst v on soft: a model\n",
        "state  A in a million",
        "NEW, FORBIDDEN under v\n",
        "new, too rare to say\n",
        "A: 64.0 k instances, 64 batches; B: 64.0 k instances, 64 batches\n",
        "1 pair: 1 differs (1 new, 1 gone, 1 more often, 1 less often), 1 NEW FORBIDDEN state (α 0.01, 7 states tested)\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let ktap = render(&report, Format::Ktap, &Options { width: 130, color: false });
    assert!(
        ktap.contains("\nnot ok 1 x.nst v on soft\n") && ktap.contains("note: x.nst v: NEW, FORBIDDEN under v: r=3"),
        "{ktap}"
    );
    let junit = render(&report, Format::Junit, &Options { width: 130, color: false });
    assert!(junit.contains("<failure message=\"more often: r=1; gone: r=2; NEW, FORBIDDEN under v: r=3"), "{junit}");
    let back: DiffReport =
        serde_json::from_str(&render(&report, Format::Json, &Options { width: 0, color: false })).expect("our own");
    assert_eq!((back.pairs.len(), back.pairs[0].states.len()), (1, 7));
}

#[test]
fn the_same_is_the_same_and_what_is_short_says_nothing() {
    let rows = |batches| [("r=0", "allowed", about(100, batches)), ("r=1", "allowed", about(20, batches))];
    let long = states(&rows(64), &rows(64));
    assert_eq!((long.exit_status(), long.pairs[0].verdict), (0, Verdict::Same));
    let short = states(&rows(3), &rows(3));
    assert_eq!((short.exit_status(), short.pairs[0].verdict), (3, Verdict::Inconclusive));
    assert!(short.pairs[0].reason.as_ref().is_some_and(|reason| reason.contains("too short")), "{short:?}");
}

#[test]
fn once_is_too_often_where_the_model_forbids_it() {
    let rows = |model, times| [("r=0", "allowed", about(100, 64)), ("r=1", model, first(times, 1, 64))];
    let report = |model| states(&rows(model, 0), &rows(model, 1));
    assert_eq!((report("forbidden").exit_status(), report("allowed").exit_status()), (1, 0));
    assert_eq!(change(&report("forbidden"), "r=1"), (Change::New, false));
    // Of what is gone there is nothing to fear.
    assert_eq!(states(&rows("forbidden", 1), &rows("forbidden", 0)).exit_status(), 0);
}

#[test]
fn as_often_and_in_other_bursts_is_neither_more_nor_less() {
    let report = states(&[("r=0", "allowed", about(10, 64))], &[("r=0", "allowed", first(900, 1, 64))]);
    assert_eq!(change(&report, "r=0"), (Change::OtherBursts, true));
}

#[test]
fn on_real_kvm_only_what_comes_or_goes_decides() {
    let rows = |times, new| [("r=0", "allowed", about(times, 64)), ("r=1", "allowed", first(1, new, 64))];
    let of = |times, new| recorded("a", &[test("x.nst", "v", "kvm", &rows(times, new))]);
    let moved = compare(&of(100, 0), &of(200, 1), 0.01);
    assert_eq!((moved.exit_status(), change(&moved, "r=0")), (0, (Change::MoreOften, false)));
    let text = render(&moved, Format::Human, &Options { width: 130, color: false });
    assert!(text.contains("more often, perhaps by the host's load\n") && text.contains("1 state tested"), "{text}");
    let new = compare(&of(100, 0), &of(100, 30), 0.01);
    assert_eq!((new.exit_status(), change(&new, "r=1")), (1, (Change::New, true)));
}

#[test]
fn a_longer_recording_is_compared_in_slices_of_the_same_width() {
    // The second one is four times as long, and has the state in every 16th thousand instances.
    let rare = |batches: u64, every: u64| (0..batches).map(|n| u64::from(n % every == 0)).collect::<Vec<_>>();
    let a = test("x.nst", "v", "soft", &[("r=0", "allowed", about(100, 64)), ("r=1", "allowed", rare(64, 16))]);
    let fourfold = about(100, 64).iter().map(|times| times * 4).collect();
    let mut b = test("x.nst", "v", "soft", &[("r=0", "allowed", fourfold), ("r=1", "allowed", rare(64, 4))]);
    b["soft"]["instances"] = (64 * 4 * WIDTH).into();
    for batch in b["soft"]["batches"].as_array_mut().expect("batches") {
        batch["instances"] = (4 * WIDTH).into();
    }
    let report = compare(&recorded("a", &[a]), &recorded("b", &[b]), 0.01);
    assert_eq!((report.pairs[0].a.batches, report.pairs[0].b.batches), (16, 64));
    assert_eq!(report.exit_status(), 0, "{report:?}");
}

#[test]
fn an_old_recording_has_no_batches_and_no_rates_to_compare() {
    let rows = |times: u64| [("r=0", "allowed", about(100, 64)), ("r=1", "forbidden", first(times, 32, 64))];
    let mut old = test("x.nst", "v", "soft", &rows(0));
    old["soft"].as_object_mut().expect("a map").remove("batches");
    let report = compare(&recorded("a", &[old]), &recorded("b", &[test("x.nst", "v", "soft", &rows(9))]), 0.01);
    // Nor is any needed for what the model forbids.
    assert_eq!((report.exit_status(), change(&report, "r=1")), (1, (Change::New, false)));
    let text = render(&report, Format::Human, &Options { width: 130, color: false });
    for part in ["rates cannot be compared: A does not have batches", "NEW, FORBIDDEN under v, confidence unknown"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn tests_are_paired_by_file_ordering_and_place() {
    let rows = [("r=0", "allowed", about(100, 8))];
    let of = |path: &str, variant: &str, on: &str| test(path, variant, on, &rows);
    let a = [of("one/x.nst", "v", "soft"), of("one/x.nst", "w", "soft"), of("y.nst", "v", "kvm")];
    let b = [of("two/x.nst", "v", "soft"), of("two/x.nst", "u", "soft"), of("y.nst", "v", "soft")];
    let names =
        |report: &DiffReport| report.pairs.iter().map(|pair| format!("{} {}", pair.file, pair.name())).collect::<Vec<_>>();
    let alone = |all: &[Unpaired]| all.iter().map(Unpaired::name).collect::<Vec<_>>();
    let report = compare(&recorded("a", &a), &recorded("b", &b), 0.01);
    assert_eq!(names(&report), ["x.nst v"]);
    assert_eq!(alone(&report.only_in_a), ["one/x.nst w on soft", "y.nst v on kvm"]);
    assert_eq!(alone(&report.only_in_b), ["two/x.nst u on soft", "y.nst v on soft"]);
    let report = compare(&chosen("a", Some("w"), &a), &chosen("b", Some("u"), &b), 0.01);
    assert_eq!(names(&report), ["x.nst w → u"]);
    assert!(report.only_in_a.is_empty() && report.only_in_b.is_empty());
    // The same name twice in one recording: now the directory counts.
    let c = [of("one/x.nst", "v", "soft"), of("two/x.nst", "v", "soft")];
    let report = compare(&recorded("c", &c), &recorded("b", &b), 0.01);
    assert_eq!((names(&report).len(), alone(&report.only_in_a)), (1, vec!["one/x.nst v on soft".to_owned()]));
    let none = compare(&recorded("a", &a[2..]), &recorded("b", &b), 0.01);
    assert_eq!(none.exit_status(), 3);
    assert!(render(&none, Format::Human, &Options { width: 100, color: false }).contains("0 pairs: nothing to compare"));
    let error = Recorded::new("a".to_owned(), Some("vv".to_owned()), parse(&document(&a).to_string()).expect("a report"));
    let error = error.expect_err("none of that name").to_string();
    assert!(error.contains("the ordering 'vv'") && error.ends_with("there are v, w"), "{error}");
}

#[test]
fn a_bad_document_is_an_error_that_says_what_is_wrong() {
    let good = document(&[test("x.nst", "v", "soft", &[("r=0", "allowed", about(100, 8))])]);
    let whole = good.to_string();
    for end in 0..whole.len() {
        let error = parse(&whole[..end]).expect_err("not whole").to_string();
        assert!(error.contains("not whole"), "{end}: {error}");
    }
    let cases: [(&str, Value, &str); 6] = [
        ("/version", 2.into(), "version 2"),
        ("/tests/0/soft/batches/3/times/0", 1_u64.into(), "x.nst v: the batches do not add up"),
        ("/tests/0/soft/batches/3/times", json!([]), "do not add up"),
        ("/tests/0/soft/batches/3/instances", u64::MAX.into(), "do not add up"),
        ("/tests/0/verdict", "fine".into(), "unknown variant `fine`"),
        ("/tests", json!({}), "not the result of `nostale litmus --format json`"),
    ];
    for (place, value, names) in cases {
        let mut document = good.clone();
        *document.pointer_mut(place).expect("it is there") = value;
        let error = parse(&document.to_string()).expect_err(place).to_string();
        assert!(error.contains(names), "{place}: {error}");
    }
}
