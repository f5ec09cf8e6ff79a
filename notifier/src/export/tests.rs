use super::{ExportError, murphi, names::Names, promela};
use crate::lang::Span;
use crate::model::{
    Action, Ask, BinOp, Expr, Model, Place, Property, VarId,
    fixture::{binary, fail, read, read_at, set, two_pages},
};

fn with_guard(guard: Expr) -> Model {
    let mut model = two_pages();
    model.steps[0].guard = guard;
    model
}

fn property(ask: Ask, condition: Expr, text: &str) -> Property {
    Property { ask, condition, text: text.to_owned(), message: None, at: Span::default() }
}

/// The guard of the first step, and its actions.
fn first_rule(model: &Model) -> String {
    let text = murphi(model, "two.m").expect("small numbers");
    let rule = text.split("rule \"").nth(1).and_then(|rule| rule.split("end;\n\n").next()).expect("a rule");
    rule.to_owned()
}

#[test]
fn a_model_in_murphi() {
    let mut model = two_pages();
    model.properties = vec![
        property(Ask::Always, read(0), "always flag"),
        property(Ask::Finally, read_at(1, Expr::Const(1)), "finally B.pte != none"),
        property(Ask::Sometimes, Expr::Not(Box::new(read(0))), "sometimes !flag"),
    ];
    let text = murphi(&model, "two.m").expect("no arithmetic");
    let (head, body) = text.split_once("var\n").expect("variables");
    assert!(head.contains("--output two.c two.m\n") && head.contains("-- Where nothing fails, its states"));
    assert!(head.starts_with("-- two pages (default), exported by nostale check\n") && head.contains("--value-type int32_t"));
    let expected = r#"  flag: 0..1; -- flag
  page_pte: array[0..1] of 0..2; -- A.pte, B.pte: 0 none, 1 A, 2 B
  t_pc: 0..2; -- t.pc

startstate begin
  flag := 1;
  page_pte[0] := 2;
  page_pte[1] := 1;
  t_pc := 0;
end;

rule "t: A.pte = none" (t_pc = 0) & (flag != 0) ==> begin
  page_pte[0] := 0;
  t_pc := 1;
end;

rule "t: flag = false" t_pc = 1 ==> begin
  flag := 0;
  t_pc := 2;
end;

invariant "always flag" flag != 0;
invariant "finally B.pte != none" (t_pc = 2) -> (page_pte[1] != 0);
cover "sometimes !flag" flag = 0;
invariant "no deadlock"
    (t_pc = 2)
  | ((t_pc = 0) & (flag != 0))
  | (t_pc = 1);
liveness "an end can be reached" t_pc = 2;
"#;
    assert_eq!(body, expected);
}

#[test]
fn a_model_in_promela() {
    let mut model = two_pages();
    model.properties = vec![
        property(Ask::Finally, read(0), "finally flag"),
        property(Ask::Sometimes, Expr::Not(Box::new(read(0))), "sometimes !flag"),
    ];
    model.steps[1].actions.insert(0, fail(read(0), "100 %"));
    let text = promela(&model, "two.pml").expect("no arithmetic");
    assert!(text.contains("spin -o3 -a two.pml\n") && text.contains("is not looked for by spin"), "{text}");
    let body = text.split_once(" */\nbit").expect("variables").1;
    let expected = r#" flag = 1; /* flag */
byte page_pte[2] = { 2, 1 }; /* A.pte, B.pte: 0 none, 1 A, 2 B */
byte t_pc = 0; /* t.pc */

#define FINISHED (t_pc == 2)

active proctype steps() {
  do
#if defined(SOMETIMES) && SOMETIMES == 0
  :: d_step { (flag == 0) ->
      printf("sometimes !flag\n"); assert(false);
    }
#endif
#ifndef SOMETIMES
  :: d_step { (FINISHED && !(flag != 0)) ->
      printf("finally flag\n"); assert(false);
    }
#endif
  :: (FINISHED) /* not a deadlock */
  :: d_step { ((t_pc == 0) && (flag != 0)) -> printf("t: A.pte = none\n");
      page_pte[0] = 0;
      t_pc = 1;
    }
  :: d_step { (t_pc == 1) -> printf("t: flag = false\n");
      if :: (flag != 0) ->
        printf("100 %%\n"); assert(false);
      :: else fi;
      flag = 0;
      t_pc = 2;
    }
  od
}
"#;
    assert_eq!(body, expected);
    model.forbid_deadlock = false;
    let text = promela(&model, "two.pml").expect("no arithmetic");
    assert!(text.contains("{\nend:\n  do\n") && !text.contains(":: (FINISHED)"), "{text}");
}

#[test]
fn an_index_is_guarded_only_where_it_can_be_outside() {
    let inside = first_rule(&with_guard(read_at(1, read(0))));
    assert!(inside.contains("(page_pte[flag] != 0)"), "{inside}");
    let below = first_rule(&with_guard(read_at(1, binary(BinOp::Sub, read(0), Expr::Const(1)))));
    assert!(below.contains("(((flag - 1) >= 0) ? page_pte[flag - 1] : page_pte[0])"), "{below}");
    let mut model = two_pages();
    let index = Some(Box::new(read_at(1, Expr::Const(0))));
    model.steps[0].actions = vec![Action::Set(Place { var: VarId(1), index }, Expr::Const(0))];
    let above = first_rule(&model);
    assert!(above.contains("if page_pte[0] <= 1 then\n    page_pte[page_pte[0]] := 0;\n"), "{above}");
    let never = first_rule(&with_guard(read_at(1, Expr::Const(-1))));
    assert!(never.contains("(page_pte[0] != 0)"), "{never}");
}

#[test]
fn spin_gets_no_array_indexed_with_its_own_element() {
    let own = read_at(1, read_at(1, Expr::Const(1)));
    let mut model = with_guard(own);
    let index = Some(Box::new(read_at(1, Expr::Const(1))));
    model.steps[0].actions = vec![Action::Set(Place { var: VarId(1), index }, Expr::Const(2))];
    let text = promela(&model, "two.pml").expect("small numbers");
    assert!(text.contains("((page_pte[1] == 1) -> page_pte[1] : page_pte[0])"), "{text}");
    assert!(text.contains("if :: (page_pte[1] == 1) ->\n        page_pte[1] = 2;\n      :: else ->"), "{text}");
    assert!(!text.contains("page_pte[page_pte"), "{text}");
}

#[test]
fn a_choice_keeps_its_brackets() {
    let mut model = two_pages();
    let choice = Expr::Select(Box::new([read(0), Expr::Const(1), Expr::Const(2)]));
    model.steps[0].actions = vec![set(1, choice), set(0, binary(BinOp::Eq, read(0), Expr::Const(0)))];
    let text = promela(&model, "two.pml").expect("small numbers");
    assert!(text.contains("page_pte[0] = ((flag != 0) -> 1 : 2);\n      flag = ((flag == 0) -> 1 : 0);\n"), "{text}");
}

#[test]
fn division_by_zero_and_negative_remainders_are_written_out() {
    let by_flag = first_rule(&with_guard(binary(BinOp::Div, Expr::Const(5), read(0))));
    assert!(by_flag.contains("((flag = 0) ? 0 : (5 / flag))"), "{by_flag}");
    let remainder = first_rule(&with_guard(binary(BinOp::Mod, binary(BinOp::Sub, read(0), Expr::Const(4)), Expr::Const(3))));
    assert!(remainder.contains("((((flag - 4) % 3) + 3) % 3)"), "{remainder}");
    let positive = first_rule(&with_guard(binary(BinOp::Mod, read(0), Expr::Const(3))));
    assert!(positive.contains("((flag % 3) != 0)"), "{positive}");
}

#[test]
fn wrapping_arithmetic_is_refused() {
    let huge = Expr::Const(i32::MAX);
    let model = with_guard(binary(BinOp::Add, read(0), huge));
    assert_eq!(murphi(&model, "two.m"), Err(ExportError::Overflow("A.pte = none".to_owned())));
    assert!(promela(&model, "two.pml").is_err());
    for (left, right) in [(i32::MIN, -1), (i32::MAX, i32::MAX)] {
        let product = binary(BinOp::Mul, Expr::Const(left), Expr::Const(right));
        assert!(murphi(&with_guard(product), "two.m").is_err());
    }
    let quotient = binary(BinOp::Div, Expr::Const(i32::MIN), read(0));
    assert!(murphi(&with_guard(binary(BinOp::Mul, quotient, Expr::Const(-1))), "two.m").is_err());
    assert!(murphi(&with_guard(binary(BinOp::Mod, Expr::Const(i32::MIN), Expr::Const(-1))), "two.m").is_err());
    assert!(murphi(&with_guard(Expr::Const(i32::MIN)), "two.m").is_ok());
}

#[test]
fn a_variable_that_does_not_exist_is_refused() {
    let mut model = two_pages();
    model.steps[1].actions = vec![set(9, Expr::Const(0))];
    assert_eq!(murphi(&model, "two.m"), Err(ExportError::NoVariable("flag = false".to_owned())));
}

#[test]
fn identifiers_are_legal_and_unique() {
    let mut names = Names::new(&["end", "len"], true);
    let given = ["page.data", "page_data", "vcpu[1].r", "end", "Len", "NULL", "9", "", "größe", "_x"];
    let taken = given.map(|name| names.identifier(name));
    let expected = ["page_data", "page_data_2", "vcpu_1_r", "end_v", "Len_v", "NULL_v", "v_9", "v_", "gr_e", "x"];
    assert_eq!(taken, expected);
}
