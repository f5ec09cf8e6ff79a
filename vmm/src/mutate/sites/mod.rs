//! Every place in a running kernel that calls a notifier function.
//!
//! Found by decoding every function of the kernel and its modules from its first byte to its last, and looking at where direct
//! near `call`, `jmp` and `jcc` go. What that could miss, and what is done about it:
//!
//! | a call that … | how it would be noticed |
//! | --- | --- |
//! | is inlined | the wrappers of `mmu_notifier.h` (`…_range_start_nonblock` too) always are, and what they call is found; the notifier functions themselves are in another file than all callers and cannot be inlined without link-time optimisation |
//! | goes through a pointer or a retpoline thunk | somebody must take the function's address first: [`Oddity::AddressTaken`] for an instruction that does, [`Oddity::Pointer`] for a table or variable that holds it |
//! | is a static call | in live text that is a direct call, or a trampoline whose `jmp` is found |
//! | begins in the padding or behind the `endbr64` | counted as a call, see [`Entry`] |
//! | goes into the middle of a notifier function | [`Oddity::Inside`] |
//! | hides between instructions, since decoding got out of step | [`Oddity::Undecodable`], and [`Oddity::Unexplained`] for any four bytes in the text that would lead to a notifier function if a branch had them but belong to none that was decoded |
//! | is in a function that has lost its symbol (a weak one that was overridden) | it is found, under the name of the function before it |
//! | is in a module that is not loaded | not at all; a guest cannot meet it either |
//! | goes to a notifier function that is new | [`Callee::Unknown`]: all of `__mmu_notifier_*` are looked for |

mod oddity;
#[cfg(test)]
mod tests;

pub use oddity::Oddity;

use super::{
    Callee, Entry, Function, Image, Symbols, Text, TextError,
    callee::entries,
    code::{self, target},
};
use iced_x86::{Code, FlowControl, Instruction};
use std::fmt;

/// How a place calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// `call`.
    Call,
    /// `jmp`: the last thing the function does, and the notifier function returns to its caller.
    TailJump,
    /// `jcc`: the same, if a condition holds.
    Conditional,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::TailJump => "tail jump",
            Self::Conditional => "conditional tail jump",
        })
    }
}

/// A place that calls a notifier function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the instruction is.
    pub address: u64,
    /// What it calls.
    pub callee: Callee,
    /// The function it is in, by its name in the source.
    pub function: String,
    /// The symbol it is in: the function, or a part or clone of it.
    pub symbol: String,
    /// The module it is in, none for the kernel itself.
    pub module: Option<String>,
    /// How far behind the symbol.
    pub offset: u64,
    /// How it calls.
    pub form: Form,
    /// The instruction.
    pub bytes: Vec<u8>,
}

/// What a sweep over a kernel found.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Every call, in the order of addresses.
    pub sites: Vec<Site>,
    /// What might be a call that is not among them, or would make the list doubtful in another way.
    pub oddities: Vec<Oddity>,
    /// How many functions were decoded.
    pub functions: usize,
    /// How many bytes were decoded.
    pub bytes: usize,
}

/// Finds every notifier call of a running kernel, reading its text and, for pointers, its tables of constants and variables.
///
/// # Errors
/// Text that cannot be read.
pub fn sites(symbols: &Symbols, text: &mut dyn Text) -> Result<Sweep, TextError> {
    let image = Image::load(symbols, text)?;
    let mut sweep = sweep(symbols, &image);
    let entries = entries(symbols, &image);
    for range in symbols.data() {
        oddity::pointers(&entries, text, range, &mut sweep.oddities)?;
    }
    Ok(sweep)
}

/// The same for text that was copied before, without a look at data.
#[must_use]
pub fn sweep(symbols: &Symbols, image: &Image) -> Sweep {
    let entries = entries(symbols, image);
    let mut sweep = Sweep::default();
    for function in symbols.functions() {
        let Some(bytes) = code::bytes(image, function) else { continue };
        sweep.functions += 1;
        sweep.bytes += bytes.len();
        one(&entries, function, bytes, &mut sweep);
    }
    oddity::unexplained(&entries, symbols, image, &mut sweep);
    sweep
}

fn one(entries: &[Entry], function: &Function, bytes: &[u8], sweep: &mut Sweep) {
    let mut decoder = code::decoder(function.address, bytes);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.code() == Code::INVALID {
            let offset = instruction.ip() - function.address;
            // Where the linker put the parts of a module together, it filled up with zeros.
            if bytes[offset as usize..].iter().all(|&byte| byte == 0) {
                return;
            }
            sweep.oddities.push(Oddity::Undecodable { symbol: function.name.clone(), offset });
            continue;
        }
        let Some(form) = form(&instruction) else {
            sweep.oddities.extend(oddity::address_taken(entries, function, &instruction));
            continue;
        };
        let Some(target) = target(&instruction) else { continue };
        for entry in entries {
            if entry.takes(target) {
                sweep.sites.push(site(entry, function, &instruction, form, bytes));
            } else if (entry.address..entry.end).contains(&target) && !(entry.address..entry.end).contains(&instruction.ip()) {
                sweep.oddities.extend(oddity::inside(entry, function, &instruction, target));
            }
        }
    }
}

fn form(instruction: &Instruction) -> Option<Form> {
    target(instruction)?;
    match instruction.flow_control() {
        FlowControl::Call => Some(Form::Call),
        FlowControl::UnconditionalBranch => Some(Form::TailJump),
        FlowControl::ConditionalBranch => Some(Form::Conditional),
        _ => None,
    }
}

fn site(entry: &Entry, function: &Function, instruction: &Instruction, form: Form, bytes: &[u8]) -> Site {
    let offset = instruction.ip() - function.address;
    let from = offset as usize;
    Site {
        address: instruction.ip(),
        callee: entry.callee.clone(),
        function: function.base().to_owned(),
        symbol: function.name.clone(),
        module: function.module.clone(),
        offset,
        form,
        bytes: bytes[from..from + instruction.len()].to_vec(),
    }
}
