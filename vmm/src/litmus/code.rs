//! Machine code for a part of a thread: it goes through all instances of a round, and takes the steps of each.
//!
//! Registers: `rbp` the [`Params`], `rbx` how far the instance's words are from the beginning of each page area, `r12` its words on the
//! board, `r13` the thread's own, `r14` how many instances are left. Everything else is scratch.

use super::program::{Test, Thread, Unsuited, Where, increment};
use iced_x86::code_asm::{CodeAssembler, CodeLabel, dword_ptr, eax, qword_ptr, r12, r13, r14, rax, rbp, rbx, rdi, rsi};
use nostale_notifier::{
    litmus::code::{Emitted, Expressions, NoCode, bind, register},
    model::{Action, Place, Step, targets::targets},
};
use std::ops::Range;

/// Addresses and pages that a test can have.
pub(super) const MOST: usize = 4;

/// What the code is called with. All addresses are the caller's own: the guest's or the host's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Params {
    /// The board's and the thread's words of the first instance.
    pub(super) board: u64,
    pub(super) own: u64,
    /// The areas of the addresses, and (for the host) of the pages' second mappings.
    pub(super) addresses: [u64; MOST],
    pub(super) pages: [u64; MOST],
    /// Bytes from one instance's words in a page to the next.
    pub(super) stride: u64,
    /// Where to begin, and how many instances there are in all.
    pub(super) from: u64,
    pub(super) instances: u64,
    /// Turns of an empty loop before it begins,
    pub(super) delay: u64,
    /// and before it comes to the instances a second time.
    pub(super) pause: u64,
}

macro_rules! offset {
    ($field:ident) => {
        std::mem::offset_of!(Params, $field) as i32
    };
}

struct Writer<'a> {
    asm: CodeAssembler,
    test: &'a Test<'a>,
}

impl Expressions for Writer<'_> {
    fn asm(&mut self) -> &mut CodeAssembler {
        &mut self.asm
    }

    fn read(&mut self, place: &Place, depth: usize) -> Emitted {
        let to = register(depth)?;
        let Some(place) = self.test.place(place) else { return Err(NoCode::Refused("a place inside the machine".to_owned())) };
        let at = self.address(place)?;
        self.asm.mov(to, at)?;
        Ok(())
    }
}

impl Writer<'_> {
    /// The memory of a place. May use `rsi`.
    fn address(&mut self, place: Where) -> Result<iced_x86::code_asm::AsmMemoryOperand, NoCode> {
        let mut area = |field: i32, number: usize| {
            self.asm.mov(rsi, qword_ptr(rbp + (field + 8 * number as i32)))?;
            Ok::<_, NoCode>(dword_ptr(rsi + rbx))
        };
        Ok(match place {
            Where::Guest(number) | Where::Host(number) => area(offset!(addresses), number)?,
            Where::Page(number) => area(offset!(pages), number)?,
            Where::Board(word) => dword_ptr(r12 + 4 * word as i32),
            Where::Own(word) => dword_ptr(r13 + 4 * word as i32),
        })
    }

    fn actions(&mut self, actions: &[Action]) -> Emitted {
        for action in actions {
            match action {
                Action::Set(place, value) => {
                    let Some(to) = self.test.place(place) else {
                        return Err(NoCode::Refused("a place inside the machine".to_owned()));
                    };
                    let private = matches!(to, Where::Own(_));
                    if let (false, Some(n)) = (private, increment(place, value)) {
                        let at = self.address(to)?;
                        self.asm.lock().add(at, n)?;
                        continue;
                    }
                    self.value(value, 0)?;
                    let at = self.address(to)?;
                    // The model's stores are seen before whatever its thread reads later: an exchange waits for that.
                    if private { self.asm.mov(at, eax)? } else { self.asm.xchg(at, eax)? }
                }
                Action::If(when, then, other) => {
                    let (mut no, mut end) = (self.asm.create_label(), self.asm.create_label());
                    self.branch(when, false, no, 0)?;
                    self.actions(then)?;
                    self.asm.jmp(end)?;
                    bind(&mut self.asm, &mut no)?;
                    self.actions(other)?;
                    bind(&mut self.asm, &mut end)?;
                }
                Action::Forget(_) | Action::Fail { .. } => {}
            }
        }
        Ok(())
    }

    /// The steps of one instance, from the first program counter of the part to its end; or from where it was left.
    fn instance(&mut self, thread: &Thread, part: &Range<i32>, resumes: bool) -> Emitted {
        let mut rows: Vec<CodeLabel> = part.clone().map(|_| self.asm.create_label()).collect();
        let mut end = self.asm.create_label();
        let jumps = rows.clone();
        let pc = self.test.model.threads[thread.id.0 as usize].pc;
        if resumes {
            self.asm.mov(eax, dword_ptr(r13))?;
            for (row, at) in jumps.iter().zip(part.clone()) {
                self.asm.cmp(eax, at)?;
                self.asm.je(*row)?;
            }
            self.asm.jmp(end)?;
        }
        for (row, at) in rows.iter_mut().zip(part.clone()) {
            bind(&mut self.asm, row)?;
            let step = |step: &&Step| step.thread == thread.id && step.from == Some(at);
            let Some(step) = self.test.model.steps.iter().find(step) else { continue };
            self.actions(&step.actions)?;
            let mut to = Vec::new();
            targets(&step.actions, pc, &mut to);
            // Where a jump is computed, the thread was refused.
            let mut to: Vec<i32> = to.into_iter().flatten().collect();
            to.sort_unstable();
            to.dedup();
            let label = |to: i32| if part.contains(&to) { jumps[(to - part.start) as usize] } else { end };
            match to[..] {
                [only] if only == at + 1 && part.contains(&only) => {}
                [only] => self.asm.jmp(label(only))?,
                _ => {
                    self.asm.mov(eax, dword_ptr(r13))?;
                    for to in to {
                        self.asm.cmp(eax, to)?;
                        self.asm.je(label(to))?;
                    }
                    self.asm.jmp(end)?;
                }
            }
        }
        bind(&mut self.asm, &mut end)
    }
}

/// The code of parts, as `extern "sysv64" fn(*const Params)`: it goes through all instances once for each. It is the same wherever it lies.
pub(super) fn assemble(test: &Test<'_>, thread: &Thread, parts: &[Range<i32>]) -> Result<Vec<u8>, Unsuited> {
    let refused = |why: NoCode| Unsuited::Code(why.to_string());
    write(test, thread, parts).map_err(refused)
}

fn write(test: &Test<'_>, thread: &Thread, parts: &[Range<i32>]) -> Result<Vec<u8>, NoCode> {
    let mut writer = Writer { asm: CodeAssembler::new(64)?, test };
    let saved = [rbp, rbx, r12, r13, r14];
    for register in saved {
        writer.asm.push(register)?;
    }
    writer.asm.mov(rbp, rdi)?;
    for (number, part) in parts.iter().enumerate() {
        writer.pass(thread, part, number > 0)?;
    }
    for register in saved.into_iter().rev() {
        writer.asm.pop(register)?;
    }
    writer.asm.ret()?;
    Ok(writer.asm.assemble(0)?)
}

impl Writer<'_> {
    /// Once through all instances.
    fn pass(&mut self, thread: &Thread, part: &Range<i32>, resumes: bool) -> Emitted {
        let line = self.test.line as i32;
        let asm = &mut self.asm;
        let (mut wait, mut go, mut round, mut inside, mut done) =
            (asm.create_label(), asm.create_label(), asm.create_label(), asm.create_label(), asm.create_label());
        // Whoever begins later meets the others somewhere else.
        asm.mov(rax, qword_ptr(rbp + if resumes { offset!(pause) } else { offset!(delay) }))?;
        bind(asm, &mut wait)?;
        asm.test(rax, rax)?;
        asm.jz(go)?;
        asm.sub(rax, 1)?;
        asm.jmp(wait)?;
        bind(asm, &mut go)?;
        // From one instance on, to the last, and then from the first.
        asm.mov(rax, qword_ptr(rbp + offset!(from)))?;
        asm.mov(rbx, rax)?;
        asm.imul_2(rbx, qword_ptr(rbp + offset!(stride)))?;
        asm.imul_3(r12, rax, line)?;
        asm.mov(r13, r12)?;
        asm.add(r12, qword_ptr(rbp + offset!(board)))?;
        asm.add(r13, qword_ptr(rbp + offset!(own)))?;
        asm.mov(r14, qword_ptr(rbp + offset!(instances)))?;
        bind(asm, &mut round)?;
        asm.test(r14, r14)?;
        asm.jz(done)?;
        self.instance(thread, part, resumes)?;
        let asm = &mut self.asm;
        asm.sub(r14, 1)?;
        asm.add(rbx, qword_ptr(rbp + offset!(stride)))?;
        asm.add(r12, line)?;
        asm.add(r13, line)?;
        asm.mov(rax, qword_ptr(rbp + offset!(instances)))?;
        asm.imul_3(rsi, rax, line)?;
        asm.add(rsi, qword_ptr(rbp + offset!(board)))?;
        asm.cmp(r12, rsi)?;
        asm.jb(inside)?;
        asm.xor(rbx, rbx)?;
        asm.mov(r12, qword_ptr(rbp + offset!(board)))?;
        asm.mov(r13, qword_ptr(rbp + offset!(own)))?;
        bind(asm, &mut inside)?;
        asm.jmp(round)?;
        bind(asm, &mut done)
    }
}
