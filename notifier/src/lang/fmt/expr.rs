//! Expressions and types, each on one line, or broken at its `&&` or `||`. Parentheses are there where the grammar needs them.

use crate::lang::ast::{BinaryOp, Declarator, Domain, Expr, ExprKind, Name, Type, TypeKind, UnaryOp};
use std::fmt::Write;

/// How strongly an expression holds together: the rules of the grammar by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Open,
    Or,
    And,
    Comparison,
    Sum,
    Product,
    Unary,
    Postfix,
}

/// An expression where any may stand.
pub(super) fn expr(expr: &Expr) -> String {
    at_least(expr, Level::Open)
}

fn sum(expr: &Expr) -> String {
    at_least(expr, Level::Sum)
}

/// An expression, in parentheses if it holds less strongly than its place asks for.
fn at_least(expr: &Expr, least: Level) -> String {
    let text = bare(expr);
    if level(expr) < least { format!("({text})") } else { text }
}

fn level(expr: &Expr) -> Level {
    match &expr.kind {
        ExprKind::Any(_) | ExprKind::Quantified { .. } => Level::Open,
        ExprKind::Unary(..) => Level::Unary,
        ExprKind::Binary(op, ..) => operator(*op).1,
        _ => Level::Postfix,
    }
}

/// How an operator is written, where it stands, and what it takes on its right side. The left side may be of its own level,
/// except for comparisons.
fn operator(op: BinaryOp) -> (&'static str, Level, Level) {
    use Level::{And, Comparison, Or, Product, Sum, Unary};
    match op {
        BinaryOp::Or => ("||", Or, And),
        BinaryOp::And => ("&&", And, Comparison),
        BinaryOp::Eq => ("==", Comparison, Sum),
        BinaryOp::Ne => ("!=", Comparison, Sum),
        BinaryOp::Lt => ("<", Comparison, Sum),
        BinaryOp::Le => ("<=", Comparison, Sum),
        BinaryOp::Gt => (">", Comparison, Sum),
        BinaryOp::Ge => (">=", Comparison, Sum),
        BinaryOp::In => ("in", Comparison, Sum),
        BinaryOp::Add => ("+", Sum, Product),
        BinaryOp::Sub => ("-", Sum, Product),
        BinaryOp::Mul => ("*", Product, Unary),
        BinaryOp::Div => ("/", Product, Unary),
        BinaryOp::Mod => ("%", Product, Unary),
    }
}

fn bare(whole: &Expr) -> String {
    match &whole.kind {
        ExprKind::Number(number) => number.to_string(),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::None => "none".to_owned(),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Field(of, field) => format!("{}.{}", at_least(of, Level::Postfix), field.text),
        ExprKind::Index(of, index) => format!("{}[{}]", at_least(of, Level::Postfix), expr(index)),
        ExprKind::Call(name, args) => format!("{}({})", name.text, list(args, expr)),
        ExprKind::Any(of) => format!("any {}", domain(of)),
        ExprKind::List(members) => format!("[{}]", list(members, expr)),
        ExprKind::Unary(op, operand) => {
            let text = at_least(operand, Level::Unary);
            match op {
                UnaryOp::Not => format!("!{text}"),
                // `--` is a word of its own.
                UnaryOp::Neg if text.starts_with('-') => format!("- {text}"),
                UnaryOp::Neg => format!("-{text}"),
            }
        }
        ExprKind::Binary(op, a, b) => {
            let (sign, own, right) = operator(*op);
            let left = if own == Level::Comparison { right } else { own };
            format!("{} {sign} {}", at_least(a, left), at_least(b, right))
        }
        ExprKind::Quantified { body, .. } => quantifier(whole) + &expr(body),
    }
}

/// What stands before the condition of a quantifier: `forall p in page: `.
fn quantifier(whole: &Expr) -> String {
    match &whole.kind {
        ExprKind::Quantified { all, name, domain: of, .. } => {
            format!("{} {} in {}: ", if *all { "forall" } else { "exists" }, name.text, domain(of))
        }
        _ => String::new(),
    }
}

/// A condition on several lines: what stands on the first, and the others, each with its operator in front.
pub(super) fn broken(condition: &Expr) -> (String, Vec<String>) {
    match &condition.kind {
        ExprKind::Quantified { body, .. } => {
            let (first, others) = broken(body);
            (quantifier(condition) + &first, others)
        }
        ExprKind::Binary(op @ (BinaryOp::Or | BinaryOp::And), ..) => {
            let (sign, own, right) = operator(*op);
            let mut others = Vec::new();
            let mut rest = condition;
            while let ExprKind::Binary(inner, a, b) = &rest.kind {
                if inner != op {
                    break;
                }
                others.push(format!("{sign} {}", at_least(b, right)));
                rest = a;
            }
            others.reverse();
            (at_least(rest, own), others)
        }
        _ => (expr(condition), Vec::new()),
    }
}

/// What a `for` or a quantifier runs through.
pub(super) fn domain(domain: &Domain) -> String {
    match domain {
        Domain::Range(low, high) => range(low, high),
        Domain::Of(of) => sum(of),
    }
}

/// `0..2`
pub(super) fn range(low: &Expr, high: &Expr) -> String {
    format!("{}..{}", sum(low), sum(high))
}

/// A type.
pub(super) fn ty(ty: &Type) -> String {
    match &ty.kind {
        TypeKind::Range(low, high) => range(low, high),
        TypeKind::Named(name) => name.text.clone(),
        TypeKind::Maybe(name) => format!("{}?", name.text),
        TypeKind::List(name) => format!("list of {}", name.text),
    }
}

/// ` = 3`, or nothing.
pub(super) fn init(value: Option<&Expr>) -> String {
    value.map_or(String::new(), |value| format!(" = {}", expr(value)))
}

/// `tlb[2]`
pub(super) fn declarator(declarator: &Declarator) -> String {
    let len = declarator.len.as_ref().map_or(String::new(), |len| format!("[{}]", expr(len)));
    declarator.name.text.clone() + &len
}

/// A name as it is.
pub(super) fn name(name: &Name) -> String {
    name.text.clone()
}

/// Elements with commas between them.
pub(super) fn list<T>(elements: &[T], show: impl Fn(&T) -> String) -> String {
    let mut text = String::new();
    for (index, element) in elements.iter().enumerate() {
        let _ = write!(text, "{}{}", if index == 0 { "" } else { ", " }, show(element));
    }
    text
}
