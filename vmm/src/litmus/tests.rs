//! Which tests a real machine runs, and why it does not run the others.

use super::{
    Kvm, Unsuited,
    program::{Deed, Part, Side, Test, Where},
};
use nostale_notifier::{
    compile::{DEFAULT, MemoryModel, Program},
    lang::Sources,
    model::Model,
};

fn model(body: &str) -> Model {
    let text = format!("model \"m\"\nuse memory\nuse operations\n{body}");
    let program = Program::read_real(Sources::new("m.nst", text)).unwrap_or_else(|wrong| panic!("{}", wrong.render(false)));
    program.compile(DEFAULT, MemoryModel::Sc).unwrap_or_else(|wrong| panic!("{}", wrong.render(program.sources(), false)))
}

const PAGES: &str = "page A, B { data = 1 }, C\nvirt x { pte = A; tlb = A }, y { pte = C; tlb = C }\nflag f\n";

fn refusal(threads: &str) -> Unsuited {
    let model = model(&format!("{PAGES}{threads}\nobserve f\nfinally true\n"));
    Kvm::new(&model).map(|_| ()).expect_err(threads)
}

#[test]
fn what_a_real_machine_cannot_do_is_refused_with_its_reason() {
    let guest = "thread guest { guest_write(x, 1) }";
    let cases = [
        ("thread host { wait f; remap(x, B) }", "host waits, chooses or goes round"),
        ("thread host { loop { if f { break } } }", "host waits, chooses or goes round"),
        ("thread host { f = true; guest_write(x, 1); let r = host_read(x) }", "both the guest's and the host's addresses"),
        ("thread host { remap(x, B) }\nthread other { remap(x, C) }", "other and another thread have an operation on the same"),
        ("thread host { x.spte = B }", "an operation has to be about a named address, and a named page"),
        ("thread host { migrate(x, B); remap(x, C) }", "host migrates pages that are not at that address alone"),
        ("thread host { migrate(x, C) }", "host migrates pages that are not at that address alone"),
        ("thread host { protect(x) }", "host leaves an address read-only"),
        (
            "thread host { protect(x); unprotect(x) }\nthread other { host_write(x, 2) }",
            "other writes at an address that is read-only",
        ),
        ("thread host { atomic { if f { A.data = 2 } } }", "is more than one access"),
    ];
    for (threads, reason) in cases {
        let why = refusal(&format!("{threads}\n{guest}")).to_string();
        assert!(why.contains(reason), "{threads}: {why}");
    }
}

#[test]
fn what_cannot_be_seen_from_outside_is_no_column() {
    let refused = |columns: &str| {
        let threads = "thread host { migrate(x, B) }\nthread guest { guest_write(x, 2) }";
        let model = model(&format!("{PAGES}{threads}\nobserve {columns}\nfinally true\n"));
        Test::of(&model).map(|_| ()).err()
    };
    assert_eq!(refused("f, B.data, C.data"), None);
    assert_eq!(refused("A.data"), Some(Unsuited::Inside("A.data".to_owned())), "its contents have left");
    assert_eq!(refused("x.pte"), Some(Unsuited::Inside("x.pte".to_owned())));
}

#[test]
fn threads_are_put_on_their_side_and_contents_are_followed() {
    let threads = "thread host { remap(y, B); f = true; migrate(x, A); let r = host_read(x) }\nthread guest { guest_add(x) }";
    let text = format!("page A, B, C, D\nvirt x {{ pte = D; tlb = D }}, y {{ pte = C; tlb = C }}\nflag f\n{threads}\n");
    let model = model(&format!("{text}observe A.data, host.r\nfinally true\n"));
    let test = Test::of(&model).expect("suited");
    assert_eq!(test.threads.iter().map(|thread| thread.side).collect::<Vec<_>>(), [Side::Host, Side::Guest]);
    let deeds = |part: &Part| matches!(part, Part::Deed { .. });
    let host = &test.threads[0].parts;
    assert_eq!(host.iter().map(deeds).collect::<Vec<_>>(), [true, false, true, false], "{host:?}");
    assert_eq!(host[0], Part::Deed { address: 1, deed: Deed::Remap(1) });
    // What is A in the model is the page of the file that was D at first.
    assert_eq!((&test.first[..], &test.last[..]), (&[3, 2][..], &[3, 1][..]));
    let state = test.state(|place, _| i32::from(place == Where::Page(3)));
    let columns: Vec<i32> =
        test.columns.iter().map(|column| nostale_notifier::model::eval::value(&model, &state, &column.value)).collect();
    assert_eq!(columns, [1, 0]);
}
