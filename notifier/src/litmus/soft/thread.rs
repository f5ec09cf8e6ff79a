//! Machine code for one thread of a test.

use std::sync::Arc;

use iced_x86::{
    BlockEncoderOptions,
    code_asm::{CodeLabel, dword_ptr, eax, ecx, r8, r9d, rax, rcx, rdx, rsi, word_ptr},
};

use super::{
    Unsuited,
    cells::Cells,
    emit::Emitter,
    plan::{How, Plan},
    step::{Ways, Writing},
};
use crate::{
    litmus::{
        code::{Emitted, NoCode},
        exec::Exec,
    },
    model::{Action, Model, Step, ThreadId, targets::only_target},
};

/// What the code of a thread and its caller tell each other.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Context {
    /// Where the choice among several steps comes from.
    pub(super) random: u32,
    /// The number of the failure, when a step has failed.
    pub(super) failure: u32,
    /// Steps of a program counter that were not tried yet.
    tries: u32,
}

impl Context {
    /// `random` is where choices among steps come from.
    pub(super) fn new(random: u32) -> Self {
        Self { random, ..Self::default() }
    }
}

/// Where the code finds the fields of [`Context`].
pub(super) mod offsets {
    use super::Context;
    use std::mem::offset_of;

    pub(in super::super) const RANDOM: i32 = offset_of!(Context, random) as i32;
    pub(in super::super) const FAILURE: i32 = offset_of!(Context, failure) as i32;
    pub(in super::super) const TRIES: i32 = offset_of!(Context, tries) as i32;
}

/// Why steps fail, by number.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<Arc<str>>);

impl Failures {
    /// The number of a failure.
    pub(super) fn number(&mut self, why: &Arc<str>) -> u32 {
        let known = self.0.iter().position(|known| known == why);
        known.unwrap_or_else(|| {
            self.0.push(Arc::clone(why));
            self.0.len() - 1
        }) as u32
    }

    /// The failure of a number.
    pub(super) fn get(&self, number: u32) -> Option<&Arc<str>> {
        self.0.get(number as usize)
    }
}

/// Where a visit to an instance ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// The steps that were allowed are done.
    Tired,
    /// The next step cannot be taken yet.
    Blocked,
    /// The thread has finished.
    Finished,
    /// A step has failed: the number is in the context.
    Failed,
}

/// The machine code of a thread.
#[derive(Debug)]
pub(super) struct Thread {
    /// For instances at which other processors may be as well,
    shared: Exec,
    /// and for those that a processor has to itself.
    alone: Exec,
    /// The last value of the program counter.
    pub(super) end: u16,
}

/// Shared cells, own cells, context, steps: how the visit ended, and in the upper half how many steps are left.
type Visit = unsafe extern "sysv64" fn(*mut u8, *mut u8, *mut Context, u32) -> u64;

impl Thread {
    pub(super) fn new(
        model: &Model,
        id: ThreadId,
        cells: &Cells,
        plan: &Plan,
        failures: &mut Failures,
    ) -> Result<Self, Unsuited> {
        let refused = |why: NoCode| match why {
            NoCode::Deep => Unsuited::Deep,
            NoCode::Refused(why) => Unsuited::Code { thread: id, why },
        };
        let thread = &model.threads[id.0 as usize];
        let mut make = |alone| {
            let (bytes, table, rows) = assemble(model, id, cells, plan, failures, alone).map_err(refused)?;
            let place = |base: u64| {
                let mut code = bytes.clone();
                for (slot, row) in code[table..].chunks_exact_mut(8).zip(&rows) {
                    slot.copy_from_slice(&(base + row).to_le_bytes());
                }
                code
            };
            Exec::new(bytes.len(), place).map_err(|error| Unsuited::Code { thread: id, why: error.to_string() })
        };
        Ok(Self { shared: make(false)?, alone: make(true)?, end: thread.end as u16 })
    }

    /// Takes up to so many steps in an instance. Returns how the visit ended, and how many steps were taken.
    ///
    /// # Safety
    /// The cells have to be those of an instance of the model that this was made of, only one thread at a time may use `own`, and with
    /// `alone`, also `shared`.
    #[inline(always)]
    pub(super) unsafe fn visit(&self, alone: bool, cells: (*mut u8, *mut u8), context: &mut Context, steps: u32) -> (Left, u32) {
        let code = if alone { &self.alone } else { &self.shared };
        let (shared, own) = cells;
        // SAFETY: the code begins at the start of its memory, and follows the calling convention of the type.
        let visit: Visit = unsafe { std::mem::transmute(code.start()) };
        // SAFETY: the caller says so, and the context is exclusively borrowed.
        let ended = unsafe { visit(shared, own, context, steps) };
        let left = match ended as u32 {
            0 => Left::Tired,
            1 => Left::Blocked,
            2 => Left::Finished,
            _ => Left::Failed,
        };
        (left, steps - (ended >> 32) as u32)
    }
}

/// Bytes, where the table of program counters begins in them, and what belongs into it.
type Assembled = (Vec<u8>, usize, Vec<u64>);

fn assemble(
    model: &Model,
    id: ThreadId,
    cells: &Cells,
    plan: &Plan,
    failures: &mut Failures,
    alone: bool,
) -> Result<Assembled, NoCode> {
    let thread = &model.threads[id.0 as usize];
    let mut emit = Emitter::new(cells, plan, alone)?;
    let count = thread.end as usize + 1;
    let mut rows: Vec<CodeLabel> = (0..count).map(|_| emit.label()).collect();
    let (mut table, mut dispatch) = (emit.label(), emit.label());
    let (mut tired, mut blocked, mut finished, mut failed) = (emit.label(), emit.label(), emit.label(), emit.label());

    emit.asm.mov(r8, rdx)?;
    emit.asm.mov(r9d, ecx)?;
    emit.bind(&mut dispatch)?;
    emit.asm.movzx(eax, word_ptr(rsi))?;
    emit.asm.lea(rcx, iced_x86::code_asm::qword_ptr(table))?;
    emit.asm.jmp(iced_x86::code_asm::qword_ptr(rcx + rax * 8))?;

    let jumps = rows.clone();
    for (pc, row) in (0i32..).zip(&mut rows) {
        emit.bind(row)?;
        if pc == thread.end {
            emit.asm.jmp(finished)?;
            continue;
        }
        emit.asm.sub(r9d, 1)?;
        emit.asm.js(tired)?;
        let steps: Vec<(usize, &Step)> =
            model.steps.iter().enumerate().filter(|(_, step)| step.thread == id && step.from == Some(pc)).collect();
        let mut ways: Vec<CodeLabel> = steps.iter().map(|_| emit.label()).collect();
        choose(&mut emit, &ways, blocked)?;
        let entries = ways.clone();
        for (number, ((index, step), way)) in steps.iter().zip(&mut ways).enumerate() {
            emit.bind(way)?;
            let mut other = emit.label();
            let to = only_target(&step.actions, thread.pc);
            let done = to.and_then(|to| jumps.get(to as usize)).copied().unwrap_or(dispatch);
            let how = emit.how(*index);
            let writing = Writing {
                emit: &mut emit,
                model,
                step,
                ways: Ways { blocked: other, done, failed },
                failures: &mut *failures,
                pc: (thread.pc, thread.end),
                units: Vec::new(),
                load_follows: loads_next(model, id, to, plan),
            };
            writing.write(&how)?;
            emit.bind(&mut other)?;
            emit.cached = None;
            if steps.len() > 1 {
                emit.asm.sub(dword_ptr(r8 + offsets::TRIES), 1)?;
                emit.asm.jnz(entries[(number + 1) % entries.len()])?;
            }
            emit.asm.jmp(blocked)?;
        }
    }
    for (label, status) in [(&mut tired, 0), (&mut blocked, 1), (&mut finished, 2), (&mut failed, 3)] {
        emit.bind(label)?;
        // The step that was not taken was paid for.
        if status < 2 {
            emit.asm.add(r9d, 1)?;
        }
        emit.asm.mov(eax, r9d)?;
        emit.asm.shl(rax, 32)?;
        emit.asm.or(rax, status)?;
        emit.asm.ret()?;
    }
    emit.asm.set_label(&mut table)?;
    emit.asm.dq(&vec![0; count])?;

    let code = emit.asm.assemble_options(0, BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
    let at = code.label_ip(&table)? as usize;
    let rows = rows.iter().map(|row| code.label_ip(row)).collect::<Result<_, _>>()?;
    Ok((code.inner.code_buffer, at, rows))
}

/// Whether a thread that goes on at this program counter (none: anywhere) may begin with a plain load. A store is seen by others after
/// such a load, unless something stands between the two; between two visits something always does.
fn loads_next(model: &Model, id: ThreadId, to: Option<i32>, plan: &Plan) -> bool {
    let mut next = model.steps.iter().zip(&plan.how).filter(|(step, _)| step.thread == id && (to.is_none() || step.from == to));
    next.any(|(step, how)| match how {
        // What touches nothing shared says nothing of what comes behind it.
        How::Load(_) | How::LoadAt | How::Own => true,
        // A check that fails does so by what was loaded: no exchange follows.
        How::Swap(_) => step.actions.iter().any(|action| matches!(action, Action::Fail { .. })),
        How::Store | How::Locked(_) => false,
    })
}

/// Begins with any one of several steps; the others follow in turn.
fn choose(emit: &mut Emitter<'_>, ways: &[CodeLabel], blocked: CodeLabel) -> Emitted {
    let count = ways.len() as u32;
    match ways {
        [] => emit.asm.jmp(blocked)?,
        [_] => {}
        [first, rest @ ..] => {
            emit.asm.mov(dword_ptr(r8 + offsets::TRIES), count)?;
            // A linear congruential generator (Numerical Recipes): its upper bits say which.
            emit.asm.imul_3(eax, dword_ptr(r8 + offsets::RANDOM), 1_664_525)?;
            emit.asm.add(eax, 1_013_904_223)?;
            emit.asm.mov(dword_ptr(r8 + offsets::RANDOM), eax)?;
            emit.asm.shr(eax, 16)?;
            emit.asm.imul_3(eax, eax, count as i32)?;
            emit.asm.shr(eax, 16)?;
            for (number, way) in (1..).zip(rest) {
                emit.asm.cmp(eax, number)?;
                emit.asm.je(*way)?;
            }
            emit.asm.jmp(*first)?;
        }
    }
    Ok(())
}
