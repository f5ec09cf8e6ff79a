//! The types of expressions and variables.

use crate::model::BinOp;

/// A type. Numbers carry the range that the text gives or implies, so that most checks against a variable's range vanish.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Ty {
    /// A number, from `lo` to `hi`.
    Int(i32, i32),
    Bool,
    /// Index into [`super::decl::Decls::enums`].
    Enum(usize),
    /// An object of a kind (index into [`super::decl::Decls::kinds`]), or `none` where that may be.
    Ref {
        kind: usize,
        maybe: bool,
    },
    /// That of `none` alone.
    None,
    Lock(LockKind),
    /// Objects of a kind, in order.
    List(usize),
}

/// The locks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum LockKind {
    Spin,
    Mutex,
    RwLock,
    RwSem,
}

impl LockKind {
    pub(super) const NAMES: [(&'static str, Self); 4] =
        [("spin", Self::Spin), ("mutex", Self::Mutex), ("rwlock", Self::RwLock), ("rwsem", Self::RwSem)];

    /// With its article.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Spin => "a spin lock",
            Self::Mutex => "a mutex",
            Self::RwLock => "an rwlock",
            Self::RwSem => "an rwsem",
        }
    }

    /// Whether it has readers.
    pub(super) fn shared(self) -> bool {
        matches!(self, Self::RwLock | Self::RwSem)
    }

    /// Whether waiting for it sleeps.
    pub(super) fn sleeps(self) -> bool {
        matches!(self, Self::Mutex | Self::RwSem)
    }
}

impl Ty {
    /// Held in one element of a variable that plain loads and stores can reach.
    pub(super) fn is_plain(self) -> bool {
        matches!(self, Self::Int(..) | Self::Bool | Self::Enum(_) | Self::Ref { .. })
    }

    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::List(_))
    }

    /// Whether values of the two can be compared, or assigned up to a check of the range.
    pub(super) fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(..), Self::Int(..)) | (Self::Bool, Self::Bool) | (Self::None, Self::None) => true,
            (Self::Enum(a), Self::Enum(b)) => a == b,
            (Self::Ref { kind: a, .. }, Self::Ref { kind: b, .. }) => a == b,
            (Self::Ref { .. }, Self::None) | (Self::None, Self::Ref { .. }) => true,
            _ => false,
        }
    }
}

/// The range of `a op b`, where it fits into 32 bits.
pub(super) fn range(op: BinOp, a: (i32, i32), b: (i32, i32)) -> Option<(i32, i32)> {
    let (al, ah, bl, bh) = (i64::from(a.0), i64::from(a.1), i64::from(b.0), i64::from(b.1));
    let corners = |f: fn(i64, i64) -> i64| {
        let all = [f(al, bl), f(al, bh), f(ah, bl), f(ah, bh)];
        (all.into_iter().min().unwrap_or(0), all.into_iter().max().unwrap_or(0))
    };
    let (lo, hi) = match op {
        BinOp::Add => (al + bl, ah + bh),
        BinOp::Sub => (al - bh, ah - bl),
        BinOp::Mul => corners(|x, y| x * y),
        // Dividing never makes a number larger than itself, whatever the divisor; the sign may change.
        BinOp::Div if bl > 0 => corners(|x, y| x / y),
        BinOp::Div => {
            let most = al.abs().max(ah.abs());
            (-most, most)
        }
        BinOp::Mod => {
            let most = bl.abs().max(bh.abs()) - 1;
            if al >= 0 && ah <= most && bl == bh { (al, ah) } else { (0, most.max(0)) }
        }
        _ => (0, 1),
    };
    Some((i32::try_from(lo).ok()?, i32::try_from(hi).ok()?))
}
