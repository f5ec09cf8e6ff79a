use super::*;
use crate::model::{
    StepId,
    fixture::{binary, fail, read, read_at, set, two_pages},
};

fn constant(expr: &Expr) -> i32 {
    let model = two_pages();
    value(&model, &first(&model), expr)
}

fn arithmetic(op: BinOp, left: i32, right: i32) -> i32 {
    constant(&binary(op, Expr::Const(left), Expr::Const(right)))
}

#[test]
fn arithmetic_wraps_and_division_by_zero_is_zero() {
    assert_eq!(arithmetic(BinOp::Add, i32::MAX, 1), i32::MIN);
    assert_eq!(arithmetic(BinOp::Sub, i32::MIN, 1), i32::MAX);
    assert_eq!(arithmetic(BinOp::Mul, 1 << 30, 4), 0);
    assert_eq!(arithmetic(BinOp::Div, i32::MIN, -1), i32::MIN);
    assert_eq!(arithmetic(BinOp::Div, 7, 0), 0);
    assert_eq!(arithmetic(BinOp::Mod, 7, 0), 0);
    assert_eq!(arithmetic(BinOp::Mod, i32::MIN, -1), 0);
    assert_eq!(arithmetic(BinOp::Mod, -1, 3), 2);
    assert_eq!(arithmetic(BinOp::Mod, -7, -3), 2);
    assert_eq!(arithmetic(BinOp::Div, -7, 3), -2);
}

#[test]
fn conditions_are_zero_or_one() {
    assert_eq!(arithmetic(BinOp::And, 2, 3), 1);
    assert_eq!(arithmetic(BinOp::Or, 0, 5), 1);
    assert_eq!(constant(&Expr::Not(Box::new(Expr::Const(5)))), 0);
    assert_eq!(constant(&Expr::Not(Box::new(Expr::Const(0)))), 1);
    assert_eq!(constant(&Expr::Select(Box::new([Expr::Const(-1), Expr::Const(4), Expr::Const(5)]))), 4);
}

#[test]
fn an_index_outside_reads_the_first_element_and_writes_nothing() {
    let mut model = two_pages();
    let state = first(&model);
    for outside in [-1, 2, i32::MAX] {
        assert_eq!(value(&model, &state, &read_at(1, Expr::Const(outside))), 2);
        let place = Place { var: VarId(1), index: Some(Box::new(Expr::Const(outside))) };
        model.steps[0].actions = vec![Action::Set(place, Expr::Const(0))];
        assert_eq!(take(&model, &state, StepId(0)), Ok(state.clone()));
    }
    assert_eq!(value(&model, &state, &read_at(1, Expr::Const(1))), 1);
}

#[test]
fn each_action_sees_what_those_before_it_wrote() {
    let mut model = two_pages();
    let both = vec![set(0, Expr::Const(0)), Action::If(read(0), vec![set(1, Expr::Const(1))], vec![set(1, Expr::Const(0))])];
    model.steps[0].actions = both;
    assert_eq!(take(&model, &first(&model), StepId(0)), Ok(State(Box::new([0, 0, 1, 0]))));
}

#[test]
fn a_step_ends_where_it_fails() {
    let mut model = two_pages();
    model.steps[0].actions = vec![
        fail(Expr::Const(0), "not this one"),
        Action::If(read(0), vec![fail(Expr::Const(1), "this one")], vec![]),
        fail(Expr::Const(1), "too late"),
    ];
    assert_eq!(take(&model, &first(&model), StepId(0)).expect_err("the second action fails").why.as_ref(), "this one");
}

#[test]
fn a_step_needs_its_place_and_its_guard() {
    let mut model = two_pages();
    let start = first(&model);
    assert_eq!(enabled(&model, &start).collect::<Vec<_>>(), [StepId(0)]);
    let next = take(&model, &start, StepId(0)).expect("nothing fails");
    assert_eq!(enabled(&model, &next).collect::<Vec<_>>(), [StepId(1)]);
    let last = take(&model, &next, StepId(1)).expect("nothing fails");
    assert_eq!(enabled(&model, &last).count(), 0);
    assert!(finished(&model, &last) && !finished(&model, &next));
    // Beside the program: wherever the thread stands, even at its end.
    model.steps[1].from = None;
    assert_eq!(enabled(&model, &last).collect::<Vec<_>>(), [StepId(1)]);
}

#[test]
fn a_property_is_asked_where_it_counts() {
    let mut model = two_pages();
    let state = first(&model);
    let mut property =
        Property { ask: Ask::Always, condition: Expr::Const(0), text: String::new(), message: None, at: Span::default() };
    assert!(violates(&model, &state, &property));
    property.ask = Ask::Finally;
    assert!(!violates(&model, &state, &property));
    model.threads[0].end = 0;
    assert!(violates(&model, &state, &property));
    property.ask = Ask::Sometimes;
    assert!(!violates(&model, &state, &property));
}

#[test]
fn what_does_not_exist_is_zero() {
    let model = two_pages();
    let short = State(Box::new([1]));
    assert_eq!(value(&model, &short, &read(1)), 0);
    assert_eq!(value(&model, &first(&model), &read(99)), 0);
    assert_eq!(take(&model, &short, StepId(0)), Ok(short.clone()));
    assert_eq!(take(&model, &short, StepId(99)), Ok(short.clone()));
    assert!(!finished(&model, &short));
}
