use super::*;
use crate::mutate::code::decoder;

/// What is known before the last instruction of a piece of code.
fn last(bytes: &[u8]) -> Option<State> {
    let flow = Flow::over(decoder(0x1000, bytes).into_iter().collect());
    let count = flow.instructions().len();
    flow.reached().find(|(index, ..)| index + 1 == count).map(|(_, _, state)| state.clone())
}

fn argument(number: u8, offset: i64) -> Option<Value> {
    Some(Value::argument(number).plus(offset))
}

#[test]
fn values_are_followed_through_registers_and_sums() {
    // lea -0x20(%rdi), %r15; mov %r15, %rbx; add $8, %rbx; ret
    let state =
        last(&[0x4c, 0x8d, 0x7f, 0xe0, 0x4c, 0x89, 0xfb, 0x48, 0x83, 0xc3, 0x08, 0xc3]).expect("the last instruction is reached");
    assert_eq!(state.get(Register::RBX).cloned(), argument(0, -0x18));
    assert_eq!(state.get(Register::R15).cloned(), argument(0, -0x20));
}

#[test]
fn values_are_followed_through_memory() {
    // mov (%rdi), %rax; mov 0x10(%rax), %rcx; ret
    let state = last(&[0x48, 0x8b, 0x07, 0x48, 0x8b, 0x48, 0x10, 0xc3]).expect("the last instruction is reached");
    let kvm = Value::argument(0).loaded();
    assert_eq!(state.get(Register::RCX), Some(&kvm.plus(0x10).loaded()));
}

#[test]
fn calls_keep_what_a_function_must_keep() {
    // push %rbx; sub $0x10, %rsp; mov %rdi, %rbx; mov %rsi, (%rsp); call; mov (%rsp), %rdx; ret
    let code =
        [0x53, 0x48, 0x83, 0xec, 0x10, 0x48, 0x89, 0xfb, 0x48, 0x89, 0x34, 0x24, 0xe8, 0, 0, 0, 0, 0x48, 0x8b, 0x14, 0x24, 0xc3];
    let state = last(&code).expect("the last instruction is reached");
    assert_eq!(state.get(Register::RBX).cloned(), argument(0, 0));
    assert_eq!(state.get(Register::RDX).cloned(), argument(1, 0));
    assert_eq!(state.get(Register::RDI), None);
}

#[test]
fn a_callee_may_write_where_it_was_given_an_address() {
    // sub $0x10, %rsp; mov %rsi, 8(%rsp); lea 8(%rsp), %rdi; call; mov 8(%rsp), %rdx; ret
    let code = [
        0x48, 0x83, 0xec, 0x10, 0x48, 0x89, 0x74, 0x24, 0x08, 0x48, 0x8d, 0x7c, 0x24, 0x08, 0xe8, 0, 0, 0, 0, 0x48, 0x8b, 0x54,
        0x24, 0x08, 0xc3,
    ];
    assert_eq!(last(&code).expect("the last instruction is reached").get(Register::RDX), None);
}

#[test]
fn filling_a_local_forgets_what_is_above_and_keeps_what_is_below() {
    // sub $0x20, %rsp; mov %rsi, (%rsp); mov %rdx, 0x18(%rsp); lea 8(%rsp), %rdi; rep stos %rax; mov (%rsp), %rbx; mov 0x18(%rsp), %rbp; ret
    let code = [
        0x48, 0x83, 0xec, 0x20, 0x48, 0x89, 0x34, 0x24, 0x48, 0x89, 0x54, 0x24, 0x18, 0x48, 0x8d, 0x7c, 0x24, 0x08, 0xf3, 0x48,
        0xab, 0x48, 0x8b, 0x1c, 0x24, 0x48, 0x8b, 0x6c, 0x24, 0x18, 0xc3,
    ];
    let state = last(&code).expect("the last instruction is reached");
    assert_eq!(state.get(Register::RBX).cloned(), argument(1, 0));
    assert_eq!(state.get(Register::RBP), None);
}

#[test]
fn where_paths_meet_only_what_both_know_is_known() {
    // test %rdx, %rdx; je 1f; mov %rsi, %rdi; 1: mov %rcx, %rbx; ret
    let state =
        last(&[0x48, 0x85, 0xd2, 0x74, 0x03, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xcb, 0xc3]).expect("the last instruction is reached");
    assert_eq!(state.get(Register::RDI), None);
    assert_eq!(state.get(Register::RBX).cloned(), argument(3, 0));
}

#[test]
fn a_loop_ends_with_what_holds_every_time() {
    // 1: mov (%rdi), %rdi; add $1, %rsi; test %rdi, %rdi; jne 1b; ret
    let state = last(&[0x48, 0x8b, 0x3f, 0x48, 0x83, 0xc6, 0x01, 0x48, 0x85, 0xff, 0x75, 0xf4, 0xc3])
        .expect("the last instruction is reached");
    assert_eq!(state.get(Register::RSI), None);
    assert_eq!(state.get(Register::RDX).cloned(), argument(2, 0));
}

#[test]
fn writing_a_part_of_a_register_forgets_all_of_it() {
    // mov $5, %esi; mov $1, %dil; ret
    let state = last(&[0xbe, 5, 0, 0, 0, 0x40, 0xb7, 0x01, 0xc3]).expect("the last instruction is reached");
    assert_eq!(state.get(Register::RDI), None);
    assert_eq!(state.get(Register::RSI).and_then(Value::as_number), Some(5));
}

#[test]
fn nothing_is_known_of_what_cannot_be_reached() {
    // ret; mov %rdi, %rax
    assert!(last(&[0xc3, 0x48, 0x89, 0xf8]).is_none());
}
