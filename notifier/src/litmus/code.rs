//! Machine code for expressions, wherever the variables are kept.
//!
//! `eax`, `ecx`, `edx` and `r10d` hold values, by the depth of the expression; no other register is touched.

use iced_x86::code_asm::{
    AsmRegister32, AsmRegister64, CodeAssembler, CodeLabel, eax, ecx, edi, edx, r8, r9, r10, r10d, r11, rax, rcx, rdi, rdx, rsi,
    rsp,
};

use crate::model::{BinOp, Expr, Place};

/// Why there is no code.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoCode {
    /// An expression needs too many registers.
    #[error("an expression is nested too deeply; split it")]
    Deep,
    /// The assembler refuses.
    #[error("{0}")]
    Refused(String),
}

impl From<iced_x86::IcedError> for NoCode {
    fn from(error: iced_x86::IcedError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// What putting code together yields.
pub type Emitted = Result<(), NoCode>;

const VALUES: [(AsmRegister32, AsmRegister64); 4] = [(eax, rax), (ecx, rcx), (edx, rdx), (r10d, r10)];

/// The register for the value of an expression at a depth.
///
/// # Errors
/// That there is none so deep.
pub fn register(depth: usize) -> Result<AsmRegister32, NoCode> {
    VALUES.get(depth).map(|(register, _)| *register).ok_or(NoCode::Deep)
}

/// The same, as a part of an address.
///
/// # Errors
/// That there is none so deep.
pub fn wide_register(depth: usize) -> Result<AsmRegister64, NoCode> {
    VALUES.get(depth).map(|(_, register)| *register).ok_or(NoCode::Deep)
}

/// Binds a label to what comes next, even if that is the end.
///
/// # Errors
/// What the assembler says.
pub fn bind(asm: &mut CodeAssembler, label: &mut CodeLabel) -> Emitted {
    asm.set_label(label)?;
    asm.zero_bytes()?;
    Ok(())
}

/// Who knows where variables are, and can so compile expressions.
pub trait Expressions {
    /// What puts instructions together.
    fn asm(&mut self) -> &mut CodeAssembler;

    /// The value of a place, into the [`register`] of that depth.
    ///
    /// # Errors
    /// Why there is no code for it.
    fn read(&mut self, place: &Place, depth: usize) -> Emitted;

    /// The value of an expression, into the [`register`] of that depth.
    ///
    /// # Errors
    /// Why there is no code for it.
    fn value(&mut self, expr: &Expr, depth: usize) -> Emitted {
        let to = register(depth)?;
        match expr {
            Expr::Const(0) => self.asm().xor(to, to)?,
            Expr::Const(number) => self.asm().mov(to, *number)?,
            Expr::Read(place) => self.read(place, depth)?,
            Expr::Select(parts) => {
                let [when, then, other] = parts.as_ref();
                let (mut no, mut end) = (self.asm().create_label(), self.asm().create_label());
                self.branch(when, false, no, depth)?;
                self.value(then, depth)?;
                self.asm().jmp(end)?;
                bind(self.asm(), &mut no)?;
                self.value(other, depth)?;
                bind(self.asm(), &mut end)?;
            }
            Expr::Binary(op @ (BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Mod), left, right) => {
                self.value(left, depth)?;
                self.value(right, depth + 1)?;
                let from = register(depth + 1)?;
                match op {
                    BinOp::Add => self.asm().add(to, from)?,
                    BinOp::Sub => self.asm().sub(to, from)?,
                    BinOp::Mul => self.asm().imul_2(to, from)?,
                    _ => divide(self.asm(), *op, depth)?,
                }
            }
            Expr::Not(_) | Expr::Binary(..) => {
                let (mut no, mut end) = (self.asm().create_label(), self.asm().create_label());
                self.branch(expr, false, no, depth)?;
                self.asm().mov(to, 1)?;
                self.asm().jmp(end)?;
                bind(self.asm(), &mut no)?;
                self.asm().xor(to, to)?;
                bind(self.asm(), &mut end)?;
            }
        }
        Ok(())
    }

    /// Goes to a label if an expression, as a condition, is as given.
    ///
    /// # Errors
    /// Why there is no code for it.
    fn branch(&mut self, expr: &Expr, truth: bool, to: CodeLabel, depth: usize) -> Emitted {
        match expr {
            Expr::Const(number) => {
                if (*number != 0) == truth {
                    self.asm().jmp(to)?;
                }
            }
            Expr::Not(operand) => self.branch(operand, !truth, to, depth)?,
            Expr::Binary(op @ (BinOp::And | BinOp::Or), left, right) => {
                // One operand may decide: false for `&&`, true for `||`.
                let decides = *op == BinOp::Or;
                if truth == decides {
                    self.branch(left, truth, to, depth)?;
                    self.branch(right, truth, to, depth)?;
                } else {
                    let mut past = self.asm().create_label();
                    self.branch(left, decides, past, depth)?;
                    self.branch(right, truth, to, depth)?;
                    bind(self.asm(), &mut past)?;
                }
            }
            Expr::Binary(op @ (BinOp::Eq | BinOp::Ne | BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge), left, right) => {
                self.value(left, depth)?;
                if let Expr::Const(number) = **right {
                    self.asm().cmp(register(depth)?, number)?;
                } else {
                    self.value(right, depth + 1)?;
                    self.asm().cmp(register(depth)?, register(depth + 1)?)?;
                }
                match (op, truth) {
                    (BinOp::Eq, true) | (BinOp::Ne, false) => self.asm().je(to)?,
                    (BinOp::Eq, false) | (BinOp::Ne, true) => self.asm().jne(to)?,
                    (BinOp::Lt, true) | (BinOp::Ge, false) => self.asm().jl(to)?,
                    (BinOp::Lt, false) | (BinOp::Ge, true) => self.asm().jge(to)?,
                    (BinOp::Le, true) | (BinOp::Gt, false) => self.asm().jle(to)?,
                    _ => self.asm().jg(to)?,
                }
            }
            other => {
                self.value(other, depth)?;
                let register = register(depth)?;
                self.asm().test(register, register)?;
                if truth { self.asm().jnz(to)? } else { self.asm().jz(to)? }
            }
        }
        Ok(())
    }
}

/// Division and remainder by [`BinOp::apply`] itself: they are rare, and their meaning is told once.
fn divide(asm: &mut CodeAssembler, op: BinOp, depth: usize) -> Emitted {
    let saved = [rdi, rsi, r8, r9, r11, rax, rcx, rdx, r10];
    let (left, right) = (wide_register(depth)?, wide_register(depth + 1)?);
    for register in saved {
        asm.push(register)?;
    }
    asm.push(left)?;
    asm.push(right)?;
    asm.pop(rdx)?;
    asm.pop(rsi)?;
    asm.mov(edi, i32::from(op == BinOp::Mod))?;
    asm.mov(rax, divided as *const () as u64)?;
    // At the entry the stack was 8 short of 16; nine registers make up for it.
    asm.call(rax)?;
    let slot = saved.iter().rev().position(|register| *register == left).unwrap_or(0);
    asm.mov(iced_x86::code_asm::qword_ptr(rsp + 8 * slot as i32), rax)?;
    for register in saved.into_iter().rev() {
        asm.pop(register)?;
    }
    Ok(())
}

/// What the machine code calls for `/` and `%`.
extern "sysv64" fn divided(remainder: u32, left: i32, right: i32) -> i32 {
    if remainder != 0 { BinOp::Mod.apply(left, right) } else { BinOp::Div.apply(left, right) }
}
