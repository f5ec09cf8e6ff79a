//! Plain expressions and actions as text. Murphi and Promela differ in a few signs only, and in what they take for a condition.

use std::fmt::Write as _;

use super::names::quotable;
use crate::model::{Action, BinOp, Expr, Place, VarId};

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Language {
    Murphi,
    Promela,
}

/// A language, and the names of the variables in it.
pub(super) struct Writer {
    pub(super) language: Language,
    pub(super) names: Vec<String>,
    /// What the values of a variable are kept without, where the language has no way to begin with the true ones.
    pub(super) offsets: Vec<i32>,
}

impl Writer {
    fn sign(&self, murphi: &'static str, promela: &'static str) -> &'static str {
        match self.language {
            Language::Murphi => murphi,
            Language::Promela => promela,
        }
    }

    pub(super) fn place(&self, place: &Place) -> String {
        let name = self.names.get(place.var.0 as usize).map_or("?", String::as_str);
        match &place.index {
            None => name.to_owned(),
            Some(index) => format!("{name}[{}]", self.whole(index)),
        }
    }

    fn offset(&self, place: &Place) -> i32 {
        self.offsets.get(place.var.0 as usize).copied().unwrap_or(0)
    }

    /// A thread stands at a program counter.
    pub(super) fn stands(&self, pc: VarId, at: i32) -> String {
        format!("({} {} {at})", self.place(&Place { var: pc, index: None }), self.sign("=", "=="))
    }

    /// An expression where a number is wanted.
    pub(super) fn number(&self, expr: &Expr) -> String {
        match expr {
            // No literal of the languages has this absolute value.
            Expr::Const(i32::MIN) => format!("(-{} - 1)", i32::MAX),
            Expr::Const(number) if *number < 0 => format!("({number})"),
            Expr::Const(number) => number.to_string(),
            Expr::Read(place) => match self.offset(place) {
                0 => self.place(place),
                offset => format!("({} + ({offset}))", self.place(place)),
            },
            Expr::Binary(op, left, right) if arithmetic(*op).is_some() => {
                let sign = arithmetic(*op).unwrap_or_default();
                format!("({} {sign} {})", self.number(left), self.number(right))
            }
            Expr::Select(parts) => {
                let [condition, then, otherwise] = parts.as_ref();
                let condition = self.condition(condition);
                format!("({condition} {} {} : {})", self.sign("?", "->"), self.number(then), self.number(otherwise))
            }
            Expr::Not(_) | Expr::Binary(..) => format!("({} {} 1 : 0)", self.condition(expr), self.sign("?", "->")),
        }
    }

    /// A number that stands alone: without brackets around it, unless it is a choice, which Promela knows by them.
    fn whole(&self, expr: &Expr) -> String {
        let text = self.number(expr);
        if let Expr::Binary(op, ..) = expr
            && arithmetic(*op).is_some()
        {
            return bare(&text).to_owned();
        }
        text
    }

    /// An expression where a condition is wanted.
    pub(super) fn condition(&self, expr: &Expr) -> String {
        let between = |sign: &str, left: String, right: String| format!("({left} {sign} {right})");
        match expr {
            Expr::Const(number) => (if *number == 0 { "false" } else { "true" }).to_owned(),
            Expr::Not(operand) if is_condition(operand) => format!("!({})", bare(&self.condition(operand))),
            Expr::Not(operand) => between(self.sign("=", "=="), self.number(operand), "0".to_owned()),
            Expr::Binary(BinOp::And, left, right) => between(self.sign("&", "&&"), self.condition(left), self.condition(right)),
            Expr::Binary(BinOp::Or, left, right) => between(self.sign("|", "||"), self.condition(left), self.condition(right)),
            Expr::Binary(op, left, right) if arithmetic(*op).is_none() => {
                between(self.comparison(*op), self.number(left), self.number(right))
            }
            Expr::Read(_) | Expr::Select(_) | Expr::Binary(..) => format!("({} != 0)", self.number(expr)),
        }
    }

    fn comparison(&self, op: BinOp) -> &'static str {
        match op {
            BinOp::Ne => "!=",
            BinOp::Lt => "<",
            BinOp::Le => "<=",
            BinOp::Gt => ">",
            BinOp::Ge => ">=",
            _ => self.sign("=", "=="),
        }
    }

    /// All of some conditions.
    pub(super) fn all(&self, conditions: &[String]) -> String {
        match conditions {
            [] => "true".to_owned(),
            [one] => one.clone(),
            several => format!("({})", several.join(self.sign(" & ", " && "))),
        }
    }

    /// Actions, one statement a line.
    pub(super) fn actions(&self, out: &mut String, actions: &[Action], indent: usize) {
        for action in actions {
            match action {
                Action::Set(place, value) => {
                    let value = match self.offset(place) {
                        0 => self.whole(value),
                        offset => format!("{} - ({offset})", self.number(value)),
                    };
                    let place = self.place(place);
                    line(out, indent, &format!("{place} {} {value};", self.sign(":=", "=")));
                }
                // In plain form there are constants in its place.
                Action::Forget(_) => {}
                Action::Fail { when, why, .. } => {
                    self.branch(out, &self.condition(when), indent, &|out| self.fail(out, why, indent + 2), None);
                }
                Action::If(_, then, otherwise) if then.is_empty() && otherwise.is_empty() => {}
                // Not every language has an empty branch.
                Action::If(condition, then, otherwise) if then.is_empty() => {
                    let condition = self.condition(&Expr::Not(Box::new(condition.clone())));
                    self.branch(out, &condition, indent, &|out| self.actions(out, otherwise, indent + 2), None);
                }
                Action::If(condition, then, otherwise) => {
                    let other = |out: &mut String| self.actions(out, otherwise, indent + 2);
                    let other: Option<&dyn Fn(&mut String)> = if otherwise.is_empty() { None } else { Some(&other) };
                    let condition = self.condition(condition);
                    self.branch(out, &condition, indent, &|out| self.actions(out, then, indent + 2), other);
                }
            }
        }
    }

    fn branch(
        &self,
        out: &mut String,
        condition: &str,
        indent: usize,
        then: &dyn Fn(&mut String),
        otherwise: Option<&dyn Fn(&mut String)>,
    ) {
        let condition = bare(condition);
        line(out, indent, &self.sign("if # then", "if :: (#) ->").replace('#', condition));
        then(out);
        match (self.language, otherwise) {
            (Language::Murphi, None) => line(out, indent, "end;"),
            (Language::Promela, None) => line(out, indent, ":: else fi;"),
            (Language::Murphi, Some(otherwise)) => {
                line(out, indent, "else");
                otherwise(out);
                line(out, indent, "end;");
            }
            (Language::Promela, Some(otherwise)) => {
                line(out, indent, ":: else ->");
                otherwise(out);
                line(out, indent, "fi;");
            }
        }
    }

    /// Reports a violation and ends there.
    pub(super) fn fail(&self, out: &mut String, why: &str, indent: usize) {
        match self.language {
            Language::Murphi => line(out, indent, &format!("error \"{}\";", quotable(why))),
            Language::Promela => {
                line(out, indent, &format!("{}; assert(false);", print(why)));
            }
        }
    }
}

/// A Promela statement that says what happens when a trail is replayed (`spin -t`), and does nothing in a search.
pub(super) fn print(text: &str) -> String {
    format!("printf(\"{}\\n\")", quotable(text).replace('%', "%%"))
}

pub(super) fn line(out: &mut String, indent: usize, text: &str) {
    let _ = writeln!(out, "{:indent$}{text}", "");
}

/// Whether an expression yields a condition, and no number, in the other languages.
fn is_condition(expr: &Expr) -> bool {
    match expr {
        Expr::Not(_) => true,
        Expr::Binary(op, ..) => arithmetic(*op).is_none(),
        Expr::Const(_) | Expr::Read(_) | Expr::Select(_) => false,
    }
}

/// The sign of an operator that yields a number; none for one that yields a condition.
fn arithmetic(op: BinOp) -> Option<&'static str> {
    match op {
        BinOp::Add => Some("+"),
        BinOp::Sub => Some("-"),
        BinOp::Mul => Some("*"),
        BinOp::Div => Some("/"),
        BinOp::Mod => Some("%"),
        BinOp::Eq | BinOp::Ne | BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge | BinOp::And | BinOp::Or => None,
    }
}

/// What a pair of brackets around the whole encloses.
pub(super) fn bare(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else { return text };
    let mut depth = 0i32;
    let closes_early = inner.chars().any(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0
    });
    if closes_early { text } else { inner }
}
