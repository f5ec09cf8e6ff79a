//! First values: what the text gives, and what holds where it gives none.

use super::{
    decl::{Decls, Def, VarDecl},
    storage::domain,
    ty::Ty,
    unit::Result,
    unknown::{unknown, unknown_in},
};
use crate::lang::{
    Diagnostic,
    ast::{Expr, ExprKind, Name},
    habits::TRUTH,
};

/// The first value where the text gives none.
pub(super) fn first(decls: &Decls<'_>, ty: Ty, name: &Name) -> Result<i32> {
    match ty {
        Ty::Ref { kind, maybe: false } => {
            let kind = decls.kinds[kind].name;
            Err(Diagnostic::error(format!("`{}` needs a first value", name.text))
                .at(name.span, format!("always refers to a `{kind}`"))
                .help(format!("give one (`= …`), or let it begin as `none`: `{}: {kind}?`", name.text)))
        }
        ty => Ok(domain(decls, ty).lo),
    }
}

/// The number of an object that the text names: from 1.
fn object(decls: &Decls<'_>, expr: &Expr, each: Option<(&str, i32)>) -> Result<Option<(usize, i32)>> {
    match &expr.kind {
        ExprKind::Name(name) => match decls.get(name) {
            Some(Def::Object { kind, number }) => Ok(Some((kind, number + 1))),
            Some(_) => Ok(None),
            None => {
                let objects = decls.kinds.iter().flat_map(|kind| kind.objects.iter().map(|object| object.name.as_str()));
                Err(unknown("object", &Name { text: name.clone(), span: expr.span }, None, objects))
            }
        },
        ExprKind::Index(family, index) => {
            let ExprKind::Name(name) = &family.kind else { return Ok(None) };
            let Some(Def::Family { kind, first, lo, hi }) = decls.get(name) else { return Ok(None) };
            let at = number(decls, index, each)?;
            if !(lo..=hi).contains(&at) {
                return Err(Diagnostic::error(format!("there is no `{name}[{at}]`")).at(index.span, format!("from {lo} to {hi}")));
            }
            Ok(Some((kind, first + at - lo + 1)))
        }
        _ => Ok(None),
    }
}

/// A number that may depend on the variable of a family.
fn number(decls: &Decls<'_>, expr: &Expr, each: Option<(&str, i32)>) -> Result<i32> {
    let Some((name, value)) = each else { return decls.constant(expr) };
    decls.constant(&substitute(expr, name, value))
}

fn substitute(expr: &Expr, name: &str, value: i32) -> Expr {
    let kind = match &expr.kind {
        ExprKind::Name(found) if found == name => ExprKind::Number(i64::from(value)),
        ExprKind::Unary(op, a) => ExprKind::Unary(*op, Box::new(substitute(a, name, value))),
        ExprKind::Binary(op, a, b) => {
            ExprKind::Binary(*op, Box::new(substitute(a, name, value)), Box::new(substitute(b, name, value)))
        }
        other => other.clone(),
    };
    Expr { span: expr.span, kind }
}

/// A first value that the text gives.
pub(super) fn value(decls: &Decls<'_>, expr: &Expr, ty: Ty, each: Option<(&str, i32)>) -> Result<i32> {
    let wrong = || {
        Diagnostic::error(format!("the first value must be {}", decls.describe(ty)))
            .at(expr.span, "a value that is known beforehand is needed")
    };
    match (ty, &expr.kind) {
        (Ty::Int(lo, hi), _) => {
            let found = number(decls, expr, each)?;
            if !(lo..=hi).contains(&found) {
                return Err(Diagnostic::error(format!("{found} is outside {lo}..{hi}")).at(expr.span, "does not fit"));
            }
            Ok(found)
        }
        (Ty::Bool, ExprKind::Bool(value)) => Ok(i32::from(*value)),
        (Ty::Bool, ExprKind::Number(0 | 1)) => Err(wrong().help(TRUTH)),
        (Ty::Enum(of), ExprKind::Name(name)) => match decls.get(name) {
            Some(Def::Value { of: found, value }) if found == of => Ok(value),
            found => {
                let values = decls.enums[of].values.iter().map(String::as_str);
                let name = Name { text: name.clone(), span: expr.span };
                Err(unknown_in(&format!("value of `{}`", decls.enums[of].name), &name, found, values))
            }
        },
        (Ty::Ref { maybe: true, .. }, ExprKind::None) => Ok(0),
        (Ty::Ref { kind, .. }, _) => match object(decls, expr, each)? {
            Some((found, number)) if found == kind => Ok(number),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// The members of a list at the start, filled up with `none`.
pub(super) fn list(decls: &Decls<'_>, init: Option<&Expr>, kind: usize) -> Result<Vec<i32>> {
    let mut members = Vec::new();
    if let Some(init) = init {
        let ExprKind::List(items) = &init.kind else {
            return Err(Diagnostic::error("a list begins with its members").at(init.span, "as in `[src, dst]`"));
        };
        for item in items {
            match object(decls, item, None)? {
                Some((found, number)) if found == kind && !members.contains(&number) => members.push(number),
                Some((found, _)) if found == kind => {
                    return Err(Diagnostic::error("an object is in a list once").at(item.span, "here again"));
                }
                _ => {
                    let what = format!("a `{}` is needed", decls.kinds[kind].name);
                    return Err(Diagnostic::error("a list begins with objects").at(item.span, what));
                }
            }
        }
    }
    members.resize(decls.kinds[kind].objects.len().max(1), 0);
    Ok(members)
}

/// An array that begins with a list of values has as many as elements.
pub(super) fn as_many(decl: &VarDecl<'_>, init: Option<&Expr>, len: i32) -> Result<()> {
    match init {
        Some(Expr { kind: ExprKind::List(each), span })
            if !decl.ty.is_list() && decl.len.is_some() && each.len() != len as usize =>
        {
            let given = each.len();
            Err(Diagnostic::error(format!("{given} values for {len} elements")).at(*span, "one for each is needed"))
        }
        _ => Ok(()),
    }
}
